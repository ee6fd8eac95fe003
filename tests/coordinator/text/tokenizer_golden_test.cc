// Every recorded string, encoded and decoded as Hugging Face tokenizers did.

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/text/detokenizer.h"
#include "coordinator/text/tokenizer.h"
#include "tests/coordinator/text/golden.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

std::string FromHex(const std::string& digits) {
  std::string bytes;
  for (size_t i = 0; i < digits.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

class TokenizerGoldenTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const std::string directory = "tokenizers/" + GetParam();
    LC_ASSERT_OK_AND_ASSIGN(tokenizer_, Tokenizer::Load(GoldenPath(directory)));
    expected_ = ReadGolden(directory + "/expected.json");
    strings_ = ReadGolden("tokenizers/strings.json");
    if (strings_.is_object()) strings_ = strings_["strings"];
    for (const Json& own : expected_["own_strings"]) strings_.push_back(own);
    ASSERT_EQ(strings_.size(), expected_["ids"].size());
  }

  std::string DecodedInPieces(const std::vector<int32_t>& ids, bool skip_special) const {
    Detokenizer detokenizer(*tokenizer_, skip_special);
    std::string text;
    for (const int32_t id : ids) text += detokenizer.Push(id);
    return text + detokenizer.Flush();
  }

  void ExpectDecoded(const std::vector<int32_t>& ids, bool skip_special, const std::string& text) {
    EXPECT_EQ(tokenizer_->Decode(ids, skip_special), text);
    EXPECT_EQ(DecodedInPieces(ids, skip_special), text);
  }

  std::unique_ptr<Tokenizer> tokenizer_;
  Json expected_, strings_;
};

TEST_P(TokenizerGoldenTest, EncodesEveryString) {
  const std::vector<int32_t> prefix = Ids(expected_["special_prefix"]);
  ASSERT_GE(strings_.size(), 2000u);
  for (size_t i = 0; i < strings_.size(); ++i) {
    const std::string text = strings_[i].get<std::string>();
    std::vector<int32_t> ids = Ids(expected_["ids"][i]);
    LC_ASSERT_OK_AND_ASSIGN(const auto plain,
                            tokenizer_->Encode(text, {.add_special_tokens = false}));
    EXPECT_EQ(plain, ids) << i << ": " << strings_[i];
    ids.insert(ids.begin(), prefix.begin(), prefix.end());
    LC_ASSERT_OK_AND_ASSIGN(const auto full, tokenizer_->Encode(text));
    EXPECT_EQ(full, ids) << i << ": " << strings_[i];
  }
  RecordProperty("strings", static_cast<int>(strings_.size()));
  std::cout << GetParam() << ": " << strings_.size() << " strings encoded alike\n";
}

TEST_P(TokenizerGoldenTest, DecodesEveryStringWholeAndInPieces) {
  for (size_t i = 0; i < strings_.size(); ++i) {
    const std::vector<int32_t> ids = Ids(expected_["ids"][i]);
    const Json& decoded = expected_["decoded"][i];
    const Json& skipped = expected_["decoded_skip_special"][i];
    const std::string text = (decoded.is_null() ? strings_[i] : decoded).get<std::string>();
    ExpectDecoded(ids, false, text);
    ExpectDecoded(ids, true, skipped.is_null() ? text : skipped.get<std::string>());
  }
}

TEST_P(TokenizerGoldenTest, ReadsInvalidUtf8AsReplacementCharacters) {
  ASSERT_GT(expected_["invalid_utf8"].size(), 20u);
  for (const Json& item : expected_["invalid_utf8"]) {
    const std::string bytes = FromHex(item[0].get<std::string>());
    LC_ASSERT_OK_AND_ASSIGN(const auto ids,
                            tokenizer_->Encode(bytes, {.add_special_tokens = false}));
    EXPECT_EQ(ids, Ids(item[1])) << item[0];
  }
}

TEST_P(TokenizerGoldenTest, DecodesRandomIdsWholeAndInPieces) {
  ASSERT_GT(expected_["random_ids"].size(), 20u);
  for (const Json& item : expected_["random_ids"]) {
    const std::vector<int32_t> ids = Ids(item[0]);
    ExpectDecoded(ids, false, item[1].get<std::string>());
    ExpectDecoded(ids, true, (item[2].is_null() ? item[1] : item[2]).get<std::string>());
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, TokenizerGoldenTest,
                         ::testing::Values("qwen2", "llama3", "llama2", "added-tokens"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace layercake
