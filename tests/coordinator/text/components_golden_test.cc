// Single normalizers, pre-tokenizers and decoders, as Hugging Face tokenizers' behave.

#include "coordinator/text/normalizer.h"
#include "coordinator/text/piece_decoder.h"
#include "coordinator/text/pre_tokenizer.h"
#include "tests/coordinator/text/golden.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

TEST(ComponentsGoldenTest, Normalizers) {
  const Json golden = ReadGolden("text_components.json");
  for (const Json& group : golden["normalizer"]) {
    SCOPED_TRACE(group["config"].dump());
    LC_ASSERT_OK_AND_ASSIGN(const auto normalizer, MakeNormalizer(group["config"]));
    for (const Json& test : group["cases"]) {
      MarkedText text(test[0].get<std::string>());
      ASSERT_OK(normalizer->Apply(&text));
      EXPECT_EQ(text.text(), test[1].get<std::string>()) << test[0];
      MarkedText untrusted = MarkedText::Untrusted(test[0].get<std::string>());
      ASSERT_OK(normalizer->Apply(&untrusted));
      EXPECT_EQ(untrusted.text(), text.text());
    }
  }
  EXPECT_GE(golden["normalizer"].size(), 16u);
}

TEST(ComponentsGoldenTest, PreTokenizers) {
  const Json golden = ReadGolden("text_components.json");
  for (const Json& group : golden["pre_tokenizer"]) {
    SCOPED_TRACE(group["config"].dump());
    LC_ASSERT_OK_AND_ASSIGN(const auto pre_tokenizer, MakePreTokenizer(group["config"]));
    for (const Json& test : group["cases"]) {
      Words words;
      words.text = test[0].get<std::string>();
      words.spans = {{0, words.text.size()}};
      words.at_start = true;
      ASSERT_OK(pre_tokenizer->Apply(&words));
      std::vector<std::string> pieces;
      for (const TextSpan span : words.spans) {
        pieces.push_back(words.text.substr(span.begin, span.end - span.begin));
      }
      EXPECT_EQ(pieces, test[1].get<std::vector<std::string>>()) << test[0];
    }
  }
  EXPECT_GE(golden["pre_tokenizer"].size(), 40u);
}

TEST(ComponentsGoldenTest, Decoders) {
  const Json golden = ReadGolden("text_components.json");
  for (const Json& group : golden["decoder"]) {
    SCOPED_TRACE(group["config"].dump());
    LC_ASSERT_OK_AND_ASSIGN(const auto decoder, PieceDecoder::Create(group["config"]));
    for (const Json& test : group["cases"]) {
      PieceDecoder::Stream stream = decoder->Start();
      std::string text;
      for (const Json& piece : test[0]) stream.Push(piece.get<std::string>(), &text);
      stream.Finish(&text);
      EXPECT_EQ(text, test[1].get<std::string>()) << test[0];
    }
  }
  EXPECT_GE(golden["decoder"].size(), 14u);
}

TEST(ComponentsGoldenTest, NamesWhatItDoesNotKnow) {
  using ::testing::HasSubstr;
  const Json unknown = {{"type", "Precompiled"}};
  const auto code = absl::StatusCode::kUnimplemented;
  EXPECT_THAT(MakeNormalizer(unknown), StatusIs(code, HasSubstr("'Precompiled'")));
  EXPECT_THAT(MakePreTokenizer(unknown), StatusIs(code, HasSubstr("'Precompiled'")));
  EXPECT_THAT(PieceDecoder::Create(unknown), StatusIs(code, HasSubstr("'Precompiled'")));
  const Json late = {{"type", "Sequence"},
                     {"decoders", {{{"type", "Fuse"}}, {{"type", "ByteFallback"}}}}};
  EXPECT_THAT(PieceDecoder::Create(late), StatusIs(code, HasSubstr("cannot stream")));
  EXPECT_THAT(MakeNormalizer(Json::parse(R"({"type":"Strip","strip_left":3})")),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("strip_left")));
  EXPECT_THAT(MakePreTokenizer(Json::parse(R"({"type":"Split","pattern":{"Regex":"("}})")),
              StatusIs(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace layercake
