#pragma once

// absl::Duration as google.protobuf.Duration and back.

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/util/time_util.h>

#include "absl/time/time.h"

namespace layercake {

inline google::protobuf::Duration ToProto(absl::Duration duration) {
  return google::protobuf::util::TimeUtil::NanosecondsToDuration(
      absl::ToInt64Nanoseconds(duration));
}

inline absl::Duration FromProto(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

}  // namespace layercake
