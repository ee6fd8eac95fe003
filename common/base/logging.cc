#include "common/base/logging.h"

namespace layercake {

void InitLogging(const char* program) {
  FLAGS_logtostderr = true;
  google::InitGoogleLogging(program);
}

}  // namespace layercake
