#include "coordinator/text/detokenizer.h"

#include "coordinator/text/utf8.h"
#include "tests/coordinator/text/golden.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

class DetokenizerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LC_ASSERT_OK_AND_ASSIGN(tokenizer_, Tokenizer::Load(GoldenPath("tokenizers/qwen2")));
  }
  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_F(DetokenizerTest, HoldsACharacterBackUntilItsLastByte) {
  const std::string text = "x\U0001F600y";
  LC_ASSERT_OK_AND_ASSIGN(const auto ids, tokenizer_->Encode(text));
  ASSERT_GT(ids.size(), 3u);  // the character is more than one token
  Detokenizer detokenizer(*tokenizer_);
  std::vector<std::string> pieces;
  for (const int32_t id : ids) {
    pieces.push_back(detokenizer.Push(id));
    EXPECT_TRUE(IsValidUtf8(pieces.back()));
  }
  EXPECT_EQ(pieces.front(), "x");
  EXPECT_EQ(pieces[1], "");
  EXPECT_EQ(pieces.back(), "y");
  EXPECT_EQ(detokenizer.Flush(), "");
}

TEST_F(DetokenizerTest, FlushTurnsAnUnfinishedCharacterIntoOneReplacement) {
  Detokenizer detokenizer(*tokenizer_);
  EXPECT_EQ(detokenizer.Push(*tokenizer_->TokenToId("\u00f0")), "");  // the byte F0
  EXPECT_EQ(detokenizer.Push(*tokenizer_->TokenToId("\u0141")), "");  // the byte 9F
  EXPECT_EQ(detokenizer.Flush(), "\xEF\xBF\xBD");
}

TEST_F(DetokenizerTest, SpecialTokensCanBeShown) {
  const int32_t end = *tokenizer_->TokenToId("<|im_end|>");
  EXPECT_EQ(Detokenizer(*tokenizer_).Push(end), "");
  EXPECT_EQ(Detokenizer(*tokenizer_, /*skip_special=*/false).Push(end), "<|im_end|>");
}

}  // namespace
}  // namespace layercake
