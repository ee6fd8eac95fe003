#include "worker/worker_flags.h"

#include <unistd.h>

#include <map>

#include "absl/strings/str_cat.h"
#include "common/options/options.h"

namespace layercake {

void AddWorkerFlags(CLI::App& app, WorkerFlags* flags) {
  app.add_option("--coordinator", flags->coordinator, "Coordinator to join")
      ->type_name("HOST:PORT");
  app.add_option("--name", flags->name,
                 "Name in the cluster; default <host>-cpu-0 or <host>-cuda-N");
  app.add_option("--listen", flags->listen, "Address to listen on; port 0 picks a free one")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  app.add_option("--advertise", flags->advertise,
                 "Host that the coordinator and other workers reach this worker by; default the "
                 "one it listens on")
      ->type_name("HOST");
  app.add_option("--device", flags->device,
                 "cpu, cuda:N, a GPU's UUID or name (tesla-m40), or auto: the free GPU with most "
                 "memory, else the CPU")
      ->capture_default_str();
  AddBytesOption(app, "--memory", &flags->memory_bytes,
                 "Most device memory to take, e.g. 3GiB; default all that is free");
  app.add_flag("--share-card", flags->share_card,
               "Run beside other workers on the same GPU, each with its --memory: for tests")
      ->needs("--memory");
  app.add_option("--threads", flags->num_threads,
                 "CPU threads: to compute with, or to prepare weights and sample with beside a "
                 "GPU; 0 is all cores")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  app.add_option("--model-root", flags->model_root,
                 "Where to look for model directories that are not at the coordinator's path")
      ->type_name("DIR");
  app.add_option("--profile", flags->profile,
                 "The device's speed: measure, cached, or BANDWIDTH,FLOPS as in 19.6e9,200e9")
      ->capture_default_str();
  app.add_option("--transport", flags->transport,
                 "What activations go over: auto (NCCL where both ends can), nccl or grpc")
      ->transform(CLI::CheckedTransformer(std::map<std::string, Transport>{
          {"auto", Transport::kAuto}, {"nccl", Transport::kNccl}, {"grpc", Transport::kGrpc}}))
      ->default_str("auto");
  app.add_option("--cuda-graphs", flags->cuda_graphs,
                 "Whether a GPU replays decode steps as CUDA graphs: auto, or off to find faults")
      ->check(CLI::IsMember({"auto", "off"}))
      ->capture_default_str();
  app.add_option("--dense-products", flags->dense_products,
                 "What multiplies prompts by floating-point weights on a GPU: own kernels, whose "
                 "numbers do not depend on what else a step has; or cublaslt, for its speed "
                 "on tensor cores, whose last bits do")
      ->check(CLI::IsMember({"own", "cublaslt"}))
      ->capture_default_str();
  app.add_flag("--list-devices", flags->list_devices, "Show the devices of this host, and end");
  app.add_option("-o,--output", flags->output, "How --list-devices prints: table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  app.add_flag("--exit-with-parent", flags->exit_with_parent,
               "Stop when the process that started this one ends");
}

std::string HostName() {
  char name[256] = {};
  if (gethostname(name, sizeof(name) - 1) != 0 || name[0] == '\0') return "localhost";
  return name;
}

std::string AdvertisedAddress(const WorkerFlags& flags, int port) {
  std::string host = flags.advertise;
  if (host.empty()) host = flags.listen.substr(0, flags.listen.rfind(':'));
  if (host == "0.0.0.0" || host == "[::]" || host == "*") host = HostName();
  return absl::StrCat(host, ":", port);
}

}  // namespace layercake
