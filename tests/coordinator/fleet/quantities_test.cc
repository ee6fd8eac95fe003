#include "coordinator/fleet/quantities.h"

#include "coordinator/fleet/spelling.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

TEST(QuantitiesTest, BandwidthIsBytesOrBitsASecond) {
  EXPECT_DOUBLE_EQ(ParseBandwidth("288GB/s").value(), 288e9);
  EXPECT_DOUBLE_EQ(ParseBandwidth("1.5 TB/s").value(), 1.5e12);
  EXPECT_DOUBLE_EQ(ParseBandwidth("16GB").value(), 16e9);
  EXPECT_DOUBLE_EQ(ParseBandwidth("10Gbit/s").value(), 1.25e9);
  EXPECT_DOUBLE_EQ(ParseBandwidth("100 Mbps").value(), 12.5e6);
  for (const char* wrong : {"", "fast", "0GB/s", "-1GB/s", "Gbit/s", "1e99Gbit/s", "nan"}) {
    EXPECT_FALSE(ParseBandwidth(wrong).ok()) << wrong;
  }
}

TEST(QuantitiesTest, OperationsArePowersOfAThousand) {
  EXPECT_DOUBLE_EQ(ParseOperations("6.8TFLOPS").value(), 6.8e12);
  EXPECT_DOUBLE_EQ(ParseOperations("500 GFLOP/s").value(), 500e9);
  EXPECT_DOUBLE_EQ(ParseOperations("1e12").value(), 1e12);
  for (const char* wrong : {"", "TFLOPS", "0", "-2T", "1e30", "inf"}) {
    EXPECT_FALSE(ParseOperations(wrong).ok()) << wrong;
  }
}

TEST(QuantitiesTest, ComputeCapabilityIsTwoNumbers) {
  EXPECT_EQ(ParseComputeCapability("5.2").value(), 52);
  EXPECT_EQ(ParseComputeCapability("12.0").value(), 120);
  for (const char* wrong : {"", "52", "5.", "5.10", "0.1", "5.2.1", "a.b"}) {
    EXPECT_FALSE(ParseComputeCapability(wrong).ok()) << wrong;
  }
}

TEST(DidYouMeanTest, OffersOnlyWhatIsNear) {
  EXPECT_EQ(DidYouMean("bandwith", {"latency", "bandwidth"}), "; did you mean bandwidth?");
  EXPECT_EQ(DidYouMean("colour", {"latency", "bandwidth"}), "");
  EXPECT_EQ(DidYouMean("", {"a"}), "");
  EXPECT_EQ(DidYouMean(std::string(1000, 'x'), {"bandwidth"}), "");
}

}  // namespace
}  // namespace layercake
