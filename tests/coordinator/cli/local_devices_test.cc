// What `serve` learns from its worker program, which a script stands in for here.

#include "coordinator/cli/local_devices.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class LocalDevicesTest : public ::testing::Test {
 protected:
  LocalDevicesTest() : program_(::testing::TempDir() + "/" + TestName() + "-worker") {}
  ~LocalDevicesTest() override { std::filesystem::remove(program_); }

  void Write(const std::string& script) {
    std::ofstream(program_) << "#!/bin/sh\n" << script;
    chmod(program_.c_str(), 0755);
  }
  static std::string TestName() {
    return ::testing::UnitTest::GetInstance()->current_test_info()->name();
  }

  const std::string program_;
};

TEST_F(LocalDevicesTest, ReadsWhatTheWorkerProgramSays) {
  Write(R"([ "$*" = "--list-devices -o json" ] || exit 2
echo '{"devices": [{"kind": "DEVICE_KIND_CUDA", "selector": "cuda:0", "computeCapability": 52},'
echo '{"kind": "DEVICE_KIND_CPU", "selector": "cpu"}], "note": ""}')");
  LC_ASSERT_OK_AND_ASSIGN(const v1::DeviceList list, ListLocalDevices(program_, absl::Seconds(60)));
  ASSERT_EQ(list.devices_size(), 2);
  EXPECT_EQ(list.devices(0).selector(), "cuda:0");
  EXPECT_EQ(list.devices(0).compute_capability(), 52);
}

TEST_F(LocalDevicesTest, ADriverThatHangsIsNotWaitedFor) {
  Write("echo '{'; exec sleep 1000");
  EXPECT_THAT(ListLocalDevices(program_, absl::Milliseconds(50)),
              StatusIs(absl::StatusCode::kDeadlineExceeded,
                       AllOf(HasSubstr("nvidia-smi"), HasSubstr("--devices"))));
}

TEST_F(LocalDevicesTest, FailuresAreTold) {
  EXPECT_THAT(ListLocalDevices(program_, absl::Seconds(60)),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(program_)));
  Write("echo '{}'; exit 1");
  EXPECT_THAT(ListLocalDevices(program_, absl::Seconds(60)),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("--list-devices failed")));
  Write("echo no json");
  EXPECT_THAT(ListLocalDevices(program_, absl::Seconds(60)), StatusIs(absl::StatusCode::kInternal));
}

}  // namespace
}  // namespace layercake
