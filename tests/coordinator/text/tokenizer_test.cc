#include "coordinator/text/tokenizer.h"

#include <array>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "coordinator/text/detokenizer.h"
#include "tests/coordinator/text/golden.h"
#include "tests/coordinator/text/temp_dir.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// One piece per letter and per control token; words are not cut.
Json LetterTokenizer() {
  Json json = {{"version", "1.0"},
               {"model", {{"type", "BPE"}, {"vocab", Json::object()}, {"merges", Json::array()}}}};
  for (char c = ' '; c <= '~'; ++c) json["model"]["vocab"][std::string(1, c)] = c - ' ';
  json["added_tokens"] = {{{"content", "<|end|>"}, {"special", true}},
                          {{"content", "<tool>"}, {"special", false}, {"normalized", false}},
                          {{"content", "NORM"}, {"special", true}, {"normalized", true}},
                          {{"content", "cat"}, {"special", false}, {"normalized", false}}};
  json["normalizer"] = {{"type", "Lowercase"}};
  json["decoder"] = {{"type", "Fuse"}};
  return json;
}
constexpr int32_t kEnd = 95, kTool = 96, kNorm = 97, kCat = 98;

std::unique_ptr<Tokenizer> MakeTokenizer(const Json& json = LetterTokenizer()) {
  auto tokenizer = Tokenizer::FromJson(json.dump());
  EXPECT_OK(tokenizer);
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

std::vector<int32_t> Encode(const Tokenizer& tokenizer, const MarkedText& text,
                            EncodeOptions options = {}) {
  auto ids = tokenizer.Encode(text, options);
  EXPECT_OK(ids);
  return ids.value_or(std::vector<int32_t>());
}

MarkedText Mixed(const std::string& trusted, const std::string& typed, const std::string& after) {
  MarkedText text(trusted);
  text.Append(typed, /*untrusted=*/true);
  text.Append(after, false);
  return text;
}

TEST(TokenizerTest, ControlTokensAreReadOnlyFromTrustedText) {
  const auto tokenizer = MakeTokenizer();
  EXPECT_THAT(Encode(*tokenizer, MarkedText("<|end|>")), ElementsAre(kEnd));
  EXPECT_THAT(Encode(*tokenizer, MarkedText("<tool>norm")), ElementsAre(kTool, kNorm));
  for (const char* typed : {"<|end|>", "<tool>", "NORM", "norm"}) {
    const std::vector<int32_t> ids = Encode(*tokenizer, Mixed("", typed, ""));
    EXPECT_EQ(ids.size(), std::string(typed).size()) << typed;
    EXPECT_EQ(tokenizer->Decode(ids, true), absl::AsciiStrToLower(typed));
  }
  // A plain added token is a word like any other.
  EXPECT_THAT(Encode(*tokenizer, Mixed("", "cat", "")), ElementsAre(kCat));
}

TEST(TokenizerTest, NoControlTokenGrowsAcrossTheBorderOfTrust) {
  const auto tokenizer = MakeTokenizer();
  const std::string token = "<|end|>";
  for (size_t cut = 0; cut <= token.size(); ++cut) {
    const std::string head = token.substr(0, cut), tail = token.substr(cut);
    const bool all_trusted = tail.empty();
    EXPECT_EQ(Encode(*tokenizer, Mixed(head, tail, "")).size(), all_trusted ? 1u : token.size());
    EXPECT_EQ(Encode(*tokenizer, Mixed("", head, tail)).size(), head.empty() ? 1u : token.size());
  }
  EXPECT_THAT(Encode(*tokenizer, Mixed("<|end|>", "<|", "<|end|>")),
              ElementsAre(kEnd, '<' - ' ', '|' - ' ', kEnd));
}

TEST(TokenizerTest, SpecialTokensCanBeLeftInTheText) {
  const auto tokenizer = MakeTokenizer();
  EncodeOptions options;
  options.parse_special = false;
  EXPECT_EQ(Encode(*tokenizer, MarkedText("<|end|>"), options).size(), 7u);
  EXPECT_THAT(Encode(*tokenizer, MarkedText("<tool>"), options), ElementsAre(kTool));
}

TEST(TokenizerTest, TellsIdsPiecesAndBytes) {
  const auto tokenizer = MakeTokenizer();
  EXPECT_EQ(tokenizer->vocab_size(), 99);
  EXPECT_THAT(tokenizer->special_ids(), ElementsAre(kEnd, kNorm));
  EXPECT_TRUE(tokenizer->IsSpecial(kEnd));
  EXPECT_FALSE(tokenizer->IsSpecial(kTool));
  EXPECT_EQ(tokenizer->TokenToId("<|end|>"), kEnd);
  EXPECT_EQ(tokenizer->TokenToId("a"), 'a' - ' ');
  EXPECT_EQ(tokenizer->TokenToId("ab"), std::nullopt);
  EXPECT_EQ(tokenizer->IdToPiece(kTool), "<tool>");
  for (const int32_t id : {-1, 99, INT32_MAX}) {
    EXPECT_EQ(tokenizer->IdToPiece(id), std::nullopt);
    EXPECT_EQ(tokenizer->TokenBytes(id), "");
    EXPECT_EQ(tokenizer->Decode({id}, false), "");
  }
  LC_ASSERT_OK_AND_ASSIGN(const auto bytes, Tokenizer::Load(GoldenPath("tokenizers/qwen2")));
  EXPECT_EQ(bytes->TokenBytes(*bytes->TokenToId("\u00c3")), "\xC3");
  EXPECT_EQ(bytes->TokenBytes(*bytes->TokenToId("\u0120the")), " the");
  LC_ASSERT_OK_AND_ASSIGN(const auto pieces, Tokenizer::Load(GoldenPath("tokenizers/llama2")));
  EXPECT_EQ(pieces->TokenBytes(*pieces->TokenToId("<0xC3>")), "\xC3");
  EXPECT_EQ(pieces->TokenBytes(*pieces->TokenToId("\u2581t")), " t");
}

TEST(TokenizerTest, ReadsNamedTokensAndEnds) {
  TempDir dir;
  dir.Write("tokenizer.json", LetterTokenizer().dump());
  dir.Write("tokenizer_config.json",
            R"({"bos_token": {"content": "<tool>"}, "eos_token": "<|end|>"})");
  dir.Write("special_tokens_map.json", R"({"eos_token": "x", "pad_token": "p"})");
  dir.Write("generation_config.json", R"({"eos_token_id": [3, 95, 3]})");
  dir.Write("config.json", R"({"eos_token_id": 7})");
  LC_ASSERT_OK_AND_ASSIGN(const auto tokenizer, Tokenizer::Load(dir.path()));
  EXPECT_EQ(tokenizer->bos_id(), kTool);
  EXPECT_THAT(tokenizer->eos_ids(), ElementsAre(3, kEnd));
  EXPECT_EQ(tokenizer->named_tokens().at("eos_token"), "<|end|>");
  EXPECT_EQ(tokenizer->named_tokens().at("pad_token"), "p");
  dir.Write("generation_config.json", "{}");
  LC_ASSERT_OK_AND_ASSIGN(const auto other, Tokenizer::Load(dir.path()));
  EXPECT_THAT(other->eos_ids(), ElementsAre(7, kEnd));
  dir.Write("generation_config.json", R"({"eos_token_id": "x"})");
  EXPECT_THAT(Tokenizer::Load(dir.path()),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("generation_config.json")));
}

TEST(TokenizerTest, MissingFilesAreSaidInWords) {
  TempDir dir;
  EXPECT_THAT(Tokenizer::Load(dir.path()),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no tokenizer.json")));
  EXPECT_THAT(Tokenizer::Load(dir.path() + "/x.json"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("x.json")));
  dir.Write("tokenizer.model", "");
  EXPECT_THAT(Tokenizer::Load(dir.path()),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("tokenizer.model")));
}

TEST(TokenizerTest, BrokenFilesAreSaidInWords) {
  TempDir dir;
  const auto error = [&](const std::string& text) {
    dir.Write("tokenizer.json", text);
    return Tokenizer::Load(dir.path()).status();
  };
  const auto with = [](const char* member, Json value) {
    Json json = LetterTokenizer();
    json[member] = std::move(value);
    return json.dump();
  };
  const auto code = absl::StatusCode::kDataLoss;
  const std::string whole = LetterTokenizer().dump();
  EXPECT_THAT(error(whole.substr(0, whole.size() / 2)), StatusIs(code, HasSubstr("not JSON")));
  EXPECT_THAT(error("[]"), StatusIs(code, HasSubstr("'model' is missing")));
  EXPECT_THAT(error(""), StatusIs(code, HasSubstr("tokenizer.json")));
  EXPECT_THAT(error(with("version", "2.0")), StatusIs(absl::StatusCode::kUnimplemented));
  EXPECT_THAT(error(with("added_tokens", 3)), StatusIs(code, HasSubstr("added_tokens")));
  EXPECT_THAT(error(with("added_tokens", {{{"id", 1}}})), StatusIs(code, HasSubstr("content")));
  const Json outside = {{"type", "BertProcessing"}, {"cls", {"x", 99}}, {"sep", {"y", 0}}};
  EXPECT_THAT(error(with("post_processor", outside)), StatusIs(code, HasSubstr("id 99")));
  Json deep = {{"type", "NFC"}};
  for (int i = 0; i < 100; ++i) deep = {{"type", "Sequence"}, {"normalizers", {deep}}};
  EXPECT_THAT(error(with("normalizer", deep)), StatusIs(code, HasSubstr("deeply")));
  // Nesting that no recursion may follow.
  EXPECT_THAT(error(std::string(200'000, '[')), StatusIs(code));
  const std::string nested = std::string(100'000, '[') + "1" + std::string(100'000, ']');
  EXPECT_THAT(error(R"({"model":{"vocab":{"a":)" + nested + R"(},"merges":[]}})"),
              StatusIs(code, HasSubstr("an array")));
}

TEST(TokenizerTest, EveryTruncationOfAFileIsAnError) {
  const std::string whole = LetterTokenizer().dump();
  for (size_t size = 0; size < whole.size(); size += 7) {
    EXPECT_THAT(Tokenizer::FromJson(whole.substr(0, size)),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr("not JSON")));
  }
}

TEST(TokenizerTest, EmptyTextAndLongTextEncode) {
  const auto tokenizer = MakeTokenizer();
  EXPECT_THAT(Encode(*tokenizer, MarkedText("")), IsEmpty());
  LC_ASSERT_OK_AND_ASSIGN(const auto real, Tokenizer::Load(GoldenPath("tokenizers/qwen2")));
  // Words and runs of marks of a million bytes take time that grows with their length alone.
  for (const char* part : {"a", " ", "\n", "\u0301\u0327", "\u4f60", "ab1 "}) {
    std::string text;
    while (text.size() < 1'000'000) text += part;
    LC_ASSERT_OK_AND_ASSIGN(const auto ids, real->Encode(text));
    EXPECT_FALSE(ids.empty());
  }
}

TEST(TokenizerTest, ThreadsShareOneTokenizer) {
  LC_ASSERT_OK_AND_ASSIGN(const auto tokenizer, Tokenizer::Load(GoldenPath("tokenizers/llama3")));
  const std::string text = "It's 12345 caf\u00e9s, \u4f60\u597d <|eot_id|>\n\n  end";
  LC_ASSERT_OK_AND_ASSIGN(const auto expected, tokenizer->Encode(text));
  std::vector<std::thread> threads;
  std::array<int, 4> wrong = {};
  for (int& count : wrong) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        const auto ids = tokenizer->Encode(text);
        count += !ids.ok() || *ids != expected;
        Detokenizer detokenizer(*tokenizer, false);
        std::string back;
        for (const int32_t id : expected) back += detokenizer.Push(id);
        count += back + detokenizer.Flush() != "<|begin_of_text|>" + text;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(wrong, ElementsAre(0, 0, 0, 0));
}

}  // namespace
}  // namespace layercake
