#include "common/base/logging.h"

namespace layercake {

void InitLogging(const char* program) {
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
