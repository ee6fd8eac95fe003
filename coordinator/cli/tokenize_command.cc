#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/text_table.h"
#include "coordinator/cli/command.h"
#include "coordinator/cli/connection.h"
#include "coordinator/cli/output.h"

namespace layercake {
namespace {

struct TokenizeFlags {
  std::string text;
  std::string model;
  bool chat = false;
  bool skip_special = false;
  std::vector<int32_t> ids;
};

absl::Status Detokenize(const CommonFlags& common, const TokenizeFlags& flags) {
  const Connection connection(common.address);
  grpc::ClientContext context;
  SetTimeout(context, kCallTimeout);
  v1::DetokenizeRequest request;
  request.set_model(flags.model);
  request.mutable_token_ids()->Assign(flags.ids.begin(), flags.ids.end());
  request.set_skip_special_tokens(flags.skip_special);
  v1::DetokenizeResponse response;
  LC_RETURN_IF_ERROR(
      connection.Explain(connection.inference().Detokenize(&context, request, &response)));
  std::cout << (common.json ? ToJson(response) : response.text() + "\n") << std::flush;
  return absl::OkStatus();
}

absl::Status Tokenize(const CommonFlags& common, const TokenizeFlags& flags) {
  if (!flags.ids.empty()) return Detokenize(common, flags);
  const Connection connection(common.address);
  grpc::ClientContext context;
  SetTimeout(context, kCallTimeout);
  v1::TokenizeRequest request;
  request.set_model(flags.model);
  request.set_skip_special_tokens(flags.skip_special);
  if (flags.chat) {
    v1::ChatMessage* message = request.mutable_chat()->add_messages();
    message->set_role("user");
    message->set_content(flags.text);
  } else {
    request.set_text(flags.text);
  }
  v1::TokenizeResponse response;
  LC_RETURN_IF_ERROR(
      connection.Explain(connection.inference().Tokenize(&context, request, &response)));
  if (common.json) {
    std::cout << ToJson(response) << std::flush;
    return absl::OkStatus();
  }
  TextTable table({{"id", TextTable::Align::kRight}, {"token"}});
  for (int i = 0; i < response.token_ids_size(); ++i) {
    table.AddRow({absl::StrCat(response.token_ids(i)),
                  i < response.tokens_size() ? Quote(response.tokens(i)) : ""});
  }
  std::cout << table.Format() << response.token_ids_size() << " tokens" << std::endl;
  return absl::OkStatus();
}

}  // namespace

Command AddTokenizeCommand(CLI::App& app, const CommonFlags& common) {
  auto flags = std::make_shared<TokenizeFlags>();
  CLI::App* tokenize =
      app.add_subcommand("tokenize", "Show the token ids of a text, or the text of token ids");
  tokenize->add_option("text", flags->text, "the text");
  tokenize->add_option("--ids", flags->ids, "show the text of these ids instead")
      ->delimiter(',')
      ->type_name("ID,ID,...");
  tokenize->add_flag("--chat", flags->chat, "as the prompt that chat makes of this user message");
  tokenize->add_flag("--skip-special", flags->skip_special,
                     "neither add nor parse nor show special tokens");
  tokenize->add_option("--model", flags->model, "name of the model (default: the one loaded)");
  return {.app = tokenize, .run = [flags, &common] { return Report(Tokenize(common, *flags)); }};
}

}  // namespace layercake
