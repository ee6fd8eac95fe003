#pragma once

// The receiver's side of Stage.OpenLink.

#include <grpcpp/support/sync_stream.h>

#include "layercake/v1/stage.grpc.pb.h"
#include "worker/service/link_broker.h"

namespace layercake {

using OpenLinkStream = grpc::ServerReaderWriter<v1::OpenLinkResponse, v1::OpenLinkRequest>;

// The call's life: 1. the offer comes, and is answered: willing or not; 2. the id comes, both ends
// connect and test, and the result is the second answer; 3. the sender says whether the link is
// used, and the broker keeps it; 4. ending well tells the sender so. Wherever the call ends before,
// or the sender says that it gave up, nothing is waited for any more and the link is dropped, which
// a worker whose operator wants NCCL only refuses.
grpc::Status ServeOpenLink(LinkBroker& broker, OpenLinkStream& stream);

}  // namespace layercake
