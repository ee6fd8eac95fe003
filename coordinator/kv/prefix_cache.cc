#include "coordinator/kv/prefix_cache.h"

#include <algorithm>

#include "absl/hash/hash.h"
#include "absl/types/span.h"
#include "common/base/logging.h"

namespace layercake {

PrefixCache::PrefixCache(int num_blocks, int block_size_tokens, Hash hash)
    : block_size_tokens_(block_size_tokens),
      hash_(hash),
      entries_(num_blocks),
      tokens_(static_cast<size_t>(num_blocks) * block_size_tokens),
      table_(num_blocks, KeyHash{this}, KeyEqual{this}) {}

std::vector<BlockId> PrefixCache::Match(std::span<const int32_t> tokens) const {
  std::vector<BlockId> blocks;
  PrefixId parent = kRootPrefix;
  for (; tokens.size() >= static_cast<size_t>(block_size_tokens_);
       tokens = tokens.subspan(block_size_tokens_)) {
    const auto found = table_.find(Key{parent, tokens.first(block_size_tokens_)});
    if (found == table_.end()) break;
    blocks.push_back(*found);
    parent = entries_[*found].prefix;
  }
  return blocks;
}

PrefixId PrefixCache::Insert(PrefixId parent, std::span<const int32_t> tokens, BlockId block) {
  CHECK_EQ(tokens.size(), static_cast<size_t>(block_size_tokens_));
  CHECK(!Contains(block)) << "block " << block;
  const Key key{parent, tokens};
  if (const auto found = table_.find(key); found != table_.end()) return entries_[*found].prefix;
  entries_[block] = {next_prefix_++, parent, hash_(parent, tokens)};
  std::copy(tokens.begin(), tokens.end(),
            tokens_.begin() + static_cast<ptrdiff_t>(block) * block_size_tokens_);
  table_.insert(block);
  return entries_[block].prefix;
}

void PrefixCache::Forget(BlockId block) {
  if (!Contains(block)) return;
  table_.erase(block);
  entries_[block] = {};
}

uint64_t PrefixCache::DefaultHash(PrefixId parent, std::span<const int32_t> tokens) {
  return absl::HashOf(parent, absl::MakeConstSpan(tokens.data(), tokens.size()));
}

bool PrefixCache::KeyEqual::operator()(BlockId block, const Key& key) const {
  return cache->entries_[block].parent == key.parent &&
         std::ranges::equal(cache->Tokens(block), key.tokens);
}

std::span<const int32_t> PrefixCache::Tokens(BlockId block) const {
  return std::span(tokens_).subspan(static_cast<size_t>(block) * block_size_tokens_,
                                    block_size_tokens_);
}

}  // namespace layercake
