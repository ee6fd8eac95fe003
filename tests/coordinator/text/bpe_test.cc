#include "coordinator/text/bpe.h"

#include <map>
#include <random>

#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<int32_t> Encode(const BpeModel& model, const std::string& word) {
  std::vector<int32_t> ids;
  EXPECT_OK(model.Encode(word, &ids));
  return ids;
}

constexpr char kSpace[] = "\u2581";

// A vocabulary of letters and the space, and random merges over it; with `words` none that joins a
// space to a letter before it, as in Llama-2's.
Json RandomModel(std::mt19937& random, bool words) {
  Json model = {{"type", "BPE"}, {"vocab", Json::object()}, {"merges", Json::array()}};
  std::vector<std::string> pieces = {"a", "b", "c", kSpace};
  for (size_t i = 0; i < pieces.size(); ++i) model["vocab"][pieces[i]] = i;
  while (pieces.size() < 60) {
    const std::string left = pieces[random() % pieces.size()];
    const std::string right = pieces[random() % pieces.size()];
    if (left.size() + right.size() > 12 || model["vocab"].contains(left + right)) continue;
    if (words && right.starts_with(kSpace) && !left.ends_with(kSpace)) continue;
    model["vocab"][left + right] = pieces.size();
    model["merges"].push_back({left, right});
    pieces.push_back(left + right);
  }
  return model;
}

// The definition: merge the leftmost pair of the lowest rank, until there is none.
std::vector<int32_t> EncodeByDefinition(const Json& model, const std::string& word) {
  std::vector<std::string> symbols;
  for (size_t i = 0; i < word.size(); i += symbols.back().size()) {
    symbols.push_back(word.substr(i, word[i] == kSpace[0] ? 3 : 1));
  }
  while (true) {
    size_t best_rank = model["merges"].size();
    size_t best = 0;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      for (size_t rank = 0; rank < best_rank; ++rank) {
        const Json& merge = model["merges"][rank];
        if (merge[0] == symbols[i] && merge[1] == symbols[i + 1]) {
          best_rank = rank;
          best = i;
        }
      }
    }
    if (best_rank == model["merges"].size()) break;
    symbols[best] += symbols[best + 1];
    symbols.erase(symbols.begin() + static_cast<long>(best) + 1);
  }
  std::vector<int32_t> ids;
  for (const std::string& symbol : symbols) ids.push_back(model["vocab"][symbol].get<int32_t>());
  return ids;
}

TEST(BpeTest, MergesAsDefinedWordsShortAndLong) {
  std::mt19937 random(7);
  for (int round = 0; round < 20; ++round) {
    const Json json = RandomModel(random, /*words=*/round % 2 == 0);
    LC_ASSERT_OK_AND_ASSIGN(const auto model, BpeModel::Create(json));
    for (const size_t length : {1, 2, 5, 20, 47, 48, 49, 60, 120}) {
      std::string word;
      for (size_t i = 0; i < length; ++i) {
        const size_t letter = random() % 4;
        word += letter == 3 ? kSpace : std::string(1, static_cast<char>('a' + letter));
      }
      EXPECT_EQ(Encode(*model, word), EncodeByDefinition(json, word)) << word;
    }
  }
}

Json SmallModel() {
  return {{"type", "BPE"},
          {"vocab",
           {{"a", 0}, {"b", 1}, {"ab", 2}, {"aba", 3}, {"<unk>", 4}, {"<0xC3>", 5}, {"<0xA9>", 6}}},
          {"merges", {"a b"}}};
}

TEST(BpeTest, IgnoreMergesTakesWholeWords) {
  Json json = SmallModel();
  LC_ASSERT_OK_AND_ASSIGN(const auto merging, BpeModel::Create(json));
  EXPECT_THAT(Encode(*merging, "aba"), ElementsAre(2, 0));
  json["ignore_merges"] = true;
  LC_ASSERT_OK_AND_ASSIGN(const auto whole, BpeModel::Create(json));
  EXPECT_THAT(Encode(*whole, "aba"), ElementsAre(3));
}

TEST(BpeTest, UnknownCharacters) {
  Json json = SmallModel();
  LC_ASSERT_OK_AND_ASSIGN(const auto dropping, BpeModel::Create(json));
  EXPECT_THAT(Encode(*dropping, "axxb"), ElementsAre(2));
  json["unk_token"] = "<unk>";
  LC_ASSERT_OK_AND_ASSIGN(const auto single, BpeModel::Create(json));
  EXPECT_THAT(Encode(*single, "axxb"), ElementsAre(0, 4, 4, 1));
  json["fuse_unk"] = true;
  LC_ASSERT_OK_AND_ASSIGN(const auto fused, BpeModel::Create(json));
  EXPECT_THAT(Encode(*fused, "axxb"), ElementsAre(0, 4, 1));
  json["byte_fallback"] = true;
  LC_ASSERT_OK_AND_ASSIGN(const auto bytes, BpeModel::Create(json));
  EXPECT_THAT(Encode(*bytes, "\u00e9x"), ElementsAre(5, 6, 4));
  json["unk_token"] = "nowhere";
  LC_ASSERT_OK_AND_ASSIGN(const auto broken, BpeModel::Create(json));
  std::vector<int32_t> ids;
  EXPECT_THAT(broken->Encode("x", &ids),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("nowhere")));
}

TEST(BpeTest, RefusesDamagedModelsInWords) {
  const auto error = [](const char* member, Json value) {
    Json json = SmallModel();
    json[member] = std::move(value);
    return BpeModel::Create(json).status();
  };
  const auto code = absl::StatusCode::kDataLoss;
  EXPECT_THAT(error("vocab", Json()), StatusIs(code, HasSubstr("'vocab' is missing")));
  EXPECT_THAT(error("vocab", {{"a", -1}}), StatusIs(code, HasSubstr("'a' is -1")));
  EXPECT_THAT(error("vocab", {{"a", 4000000000}}), StatusIs(code, HasSubstr("4000000000")));
  EXPECT_THAT(error("vocab", {{"a", "b"}}), StatusIs(code, HasSubstr("not an integer")));
  EXPECT_THAT(error("merges", {"a b c"}), StatusIs(code, HasSubstr("'a b c'")));
  EXPECT_THAT(error("merges", {"b a"}), StatusIs(code, HasSubstr("not in the vocabulary")));
  EXPECT_THAT(error("merges", Json::array({Json::array({"a", 1})})),
              StatusIs(code, HasSubstr("merge 0")));
  EXPECT_THAT(error("merges", "a b"), StatusIs(code, HasSubstr("not a list")));
  EXPECT_THAT(error("byte_fallback", 1), StatusIs(code, HasSubstr("byte_fallback")));
  EXPECT_THAT(error("type", "Unigram"),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("Unigram")));
}

}  // namespace
}  // namespace layercake
