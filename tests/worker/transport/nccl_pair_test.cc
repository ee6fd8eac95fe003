#include "worker/transport/nccl_pair.h"

#include <thread>
#include <vector>

#include "tests/testing/fake_nccl.h"
#include "tests/testing/status_matchers.h"
#include "worker/kernels/convert.h"
#include "worker/transport/nccl_activation_link.h"

namespace layercake {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kLong = absl::Seconds(60);
constexpr absl::Duration kShort = absl::Milliseconds(20);

// Both ends of a pair, each on a device and a thread of its own.
class NcclPairTest : public ::testing::Test {
 protected:
  absl::Status Connect(int rank, absl::Duration timeout) {
    pairs_[rank] = std::make_shared<NcclPair>(FakeNccl::Functions(), rank, *devices_[rank]);
    return pairs_[rank]->Connect(id_, timeout);
  }
  void ConnectBoth() {
    FakeNccl::Functions().get_unique_id(&id_);
    absl::Status ends[2];
    std::thread other([&] { ends[1] = Connect(1, kLong); });
    ends[0] = Connect(0, kLong);
    other.join();
    for (const absl::Status& end : ends) ASSERT_OK(end);
  }
  // What both ends find, testing at once.
  std::pair<absl::Status, absl::Status> TestBoth(absl::Duration timeout) {
    absl::Status ends[2];
    std::thread other([&] { ends[1] = TestPair(*pairs_[1], *devices_[1], timeout); });
    ends[0] = TestPair(*pairs_[0], *devices_[0], timeout);
    other.join();
    return {ends[0], ends[1]};
  }

  std::unique_ptr<Device> devices_[2] = {*Device::CreateCpu(1), *Device::CreateCpu(1)};
  ActivationSlots slots_[2] = {*MakeActivationSlots(64, *devices_[0]),
                               *MakeActivationSlots(64, *devices_[1])};
  FakeNccl nccl_;
  NcclUniqueId id_ = {};
  std::shared_ptr<NcclPair> pairs_[2];
};

TEST_F(NcclPairTest, CarriesStepsFromSinkToSourceInTheLinksType) {
  const std::vector<float> values = {1, 0.1f, -2.7182818f, 1e-5f, 65000, 6};
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    ConnectBoth();
    const auto [sender, receiver] = TestBoth(kLong);
    ASSERT_OK(sender);
    ASSERT_OK(receiver);
    NcclActivationSink sink({pairs_[0], dtype}, slots_[0], *devices_[0]);
    NcclActivationSource source({pairs_[1], dtype}, slots_[1], *devices_[1]);
    for (int step = 1; step <= 3; ++step) {
      std::vector<float> out = values, in(values.size());
      out[0] = static_cast<float>(step);
      ASSERT_OK(sink.Send(step, {out.data(), DType::kF32, 2, 3, 3}));
      EXPECT_EQ(nccl_.last_sent_bytes(), std::ssize(out) * DTypeBytes(dtype));
      ASSERT_OK(source.Receive(step, {in.data(), DType::kF32, 2, 3, 3}));
      std::vector<char> wire(out.size() * sizeof(float));
      ConvertNumbers(out.data(), DType::kF32, std::ssize(out), wire.data(), dtype);
      ConvertNumbers(wire.data(), dtype, std::ssize(out), out.data(), DType::kF32);
      EXPECT_EQ(in, out);
    }
    EXPECT_OK(sink.Finish());
  }
}

TEST_F(NcclPairTest, AnEndThatDoesNotComeIsNotWaitedForLonger) {
  FakeNccl::Functions().get_unique_id(&id_);
  EXPECT_THAT(Connect(0, kShort),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("did not answer in time")));
  pairs_[0].reset();
  EXPECT_EQ(nccl_.num_open(), 0);
}

TEST_F(NcclPairTest, AbortEndsConnecting) {
  FakeNccl::Functions().get_unique_id(&id_);
  NcclPair pair(FakeNccl::Functions(), 0, *devices_[0]);
  absl::Status connected;
  std::thread connecting([&] { connected = pair.Connect(id_, kLong); });
  nccl_.AwaitOpen(1);
  pair.Abort(absl::CancelledError("the offer was given up"));
  connecting.join();
  EXPECT_THAT(connected, StatusIs(absl::StatusCode::kCancelled, "the offer was given up"));
}

TEST_F(NcclPairTest, NothingConnectsAfterAbort) {
  FakeNccl::Functions().get_unique_id(&id_);
  NcclPair pair(FakeNccl::Functions(), 0, *devices_[0]);
  pair.Abort(absl::CancelledError("the offer was given up"));
  EXPECT_THAT(pair.Connect(id_, kLong), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(nccl_.num_open(), 0);
}

TEST_F(NcclPairTest, WhatNcclSaysIsPassedOn) {
  nccl_.set_script({.connect_error = 5});
  EXPECT_THAT(Connect(0, kLong),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("connecting: invalid usage")));
}

TEST_F(NcclPairTest, TheTestFindsBytesThatChangeOnTheWay) {
  nccl_.set_script({.corrupts = true});
  ConnectBoth();
  const auto [sender, receiver] = TestBoth(kShort);
  EXPECT_THAT(receiver, StatusIs(absl::StatusCode::kDataLoss, HasSubstr("value 0 of a test")));
  EXPECT_FALSE(sender.ok());
  pairs_[0].reset();
  pairs_[1].reset();
  EXPECT_EQ(nccl_.num_open(), 0);
}

TEST_F(NcclPairTest, TheTestEndsWhereNothingArrives) {
  nccl_.set_script({.never_delivers = true});
  ConnectBoth();
  const auto [sender, receiver] = TestBoth(kShort);
  EXPECT_THAT(sender, StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(receiver, StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(NcclPairTest, ClosingEndsAReceiveThatWaits) {
  ConnectBoth();
  NcclActivationSource source({pairs_[1]}, slots_[1], *devices_[1]);
  float in[4] = {};
  absl::Status received;
  std::thread engine([&] { received = source.Receive(1, {in, DType::kF32, 1, 4, 4}); });
  source.Close(absl::AbortedError("epoch 2 is being loaded"));
  engine.join();
  EXPECT_THAT(received, StatusIs(absl::StatusCode::kAborted, "epoch 2 is being loaded"));
  EXPECT_THAT(source.Receive(2, {in, DType::kF32, 1, 4, 4}), StatusIs(absl::StatusCode::kAborted));
}

// A stage in the middle: what is at the head of its device's stream ends by the abort of its own
// link only, and the abort of the other link waits for the device.
class TwoLinksTest : public NcclPairTest {
 protected:
  TwoLinksTest() {
    nccl_.set_script({.one_device = true});
    ConnectBoth();
    before_ = pairs_[0];
    source_ = std::make_unique<NcclActivationSource>(NcclLink{std::move(pairs_[1])}, slots_[1],
                                                     *devices_[1]);
    ConnectBoth();
    sink_ = std::make_unique<NcclActivationSink>(NcclLink{std::move(pairs_[0])}, slots_[0],
                                                 *devices_[0]);
  }
  ~TwoLinksTest() override {
    source_.reset();
    sink_.reset();
    EXPECT_EQ(nccl_.num_stuck(), 0) << "closing one link waited for the other";
  }

  float values_[4] = {};
  const TensorView view_ = {values_, DType::kF32, 1, 4, 4};
  std::shared_ptr<NcclPair> before_;
  std::unique_ptr<NcclActivationSource> source_;
  std::unique_ptr<NcclActivationSink> sink_;
};

TEST_F(TwoLinksTest, TheSourceIsClosedWhileASendHangs) {
  ASSERT_OK(sink_->Send(1, view_));
  source_->Close(absl::AbortedError("the epoch is over"));
  sink_->Cancel();
}

TEST_F(TwoLinksTest, TheSinkIsCancelledWhileAReceiveHangs) {
  absl::Status received;
  std::thread engine([&] { received = source_->Receive(1, view_); });
  nccl_.AwaitReceive();
  sink_->Cancel();
  source_->Close(absl::AbortedError("the epoch is over"));
  engine.join();
  EXPECT_THAT(received, StatusIs(absl::StatusCode::kAborted));
}

TEST_F(NcclPairTest, APeerThatDiedEndsTheSink) {
  ConnectBoth();
  nccl_.set_script({.send_error = 6});
  NcclActivationSink sink({pairs_[0]}, slots_[0], *devices_[0]);
  float out[4] = {};
  const TensorView view = {out, DType::kF32, 1, 4, 4};
  EXPECT_THAT(sink.Send(1, view),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("remote process exited")));
  EXPECT_THAT(sink.Send(2, view), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_FALSE(sink.Finish().ok());
}

TEST_F(NcclPairTest, ANewPairCarriesOnWhereAnAbortedOneBroke) {
  ConnectBoth();
  pairs_[0]->Abort(absl::AbortedError("the epoch is over"));
  EXPECT_THAT(pairs_[0]->status(), StatusIs(absl::StatusCode::kAborted));
  ConnectBoth();
  EXPECT_OK(TestBoth(kLong).second);
  pairs_[0].reset();
  pairs_[1].reset();
  EXPECT_EQ(nccl_.num_open(), 0);
}

}  // namespace
}  // namespace layercake
