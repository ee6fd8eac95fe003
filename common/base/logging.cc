#include "common/base/logging.h"

#include <cstdlib>

namespace layercake {

void InitLogging(const char* program) {
  // What gRPC would log on its own, our messages say in words; its variable still turns it on.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  FLAGS_logtostderr = true;
  google::InitGoogleLogging(program);
}

void SetLogLevel(const std::string& level) {
  CHECK(level == "info" || level == "warning" || level == "error") << level;
  FLAGS_minloglevel = level == "info"      ? google::INFO
                      : level == "warning" ? google::WARNING
                                           : google::ERROR;
}

}  // namespace layercake
