#pragma once

// Which KV block already holds which tokens, so that sequences with the same beginning share it.

#include <cstdint>
#include <span>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "coordinator/kv/block_pool.h"

namespace layercake {

// Names a cached block together with everything before it. Never reused, so a prefix whose block
// was forgotten is never mistaken for a later one. kRootPrefix is the empty beginning.
using PrefixId = uint64_t;
inline constexpr PrefixId kRootPrefix = 0;

// A map from (prefix, the `block_size_tokens` tokens after it) to the block with their KV. Looking
// up compares the tokens themselves; a hash only finds the candidates. Full blocks only: a block
// still being filled is never here.
//
// It says what a block holds, not whether anyone references it: a block stays here while it is free
// (BlockPool keeps it late in its queue) and must be forgotten when it is allocated anew.
// Not thread-safe.
class PrefixCache {
 public:
  // Any function will do for correctness; a good one for speed.
  using Hash = uint64_t (*)(PrefixId parent, std::span<const int32_t> tokens);

  // Ids of blocks are 0 to num_blocks - 1. All memory is taken here.
  PrefixCache(int num_blocks, int block_size_tokens, Hash hash = &DefaultHash);
  PrefixCache(const PrefixCache&) = delete;  // the table's functors point back here
  PrefixCache& operator=(const PrefixCache&) = delete;

  // The cached blocks that hold the longest beginning of `tokens`, in order.
  std::vector<BlockId> Match(std::span<const int32_t> tokens) const;

  // Says that `block` holds `tokens` (exactly one block of them) after `parent`. Returns the name
  // of that longer prefix. If another block is known to hold it, that one stays and `block` is not
  // cached. REQUIRES: `block` is not cached.
  PrefixId Insert(PrefixId parent, std::span<const int32_t> tokens, BlockId block);

  // The name of the prefix that ends with `block`. REQUIRES: Contains(block).
  PrefixId prefix(BlockId block) const { return entries_[block].prefix; }
  bool Contains(BlockId block) const { return entries_[block].prefix != kRootPrefix; }

  // `block` will hold something else. No effect if it is not cached. Longer prefixes that went
  // through it are not found any more, until they are inserted again.
  void Forget(BlockId block);

  int num_cached() const { return static_cast<int>(table_.size()); }

  static uint64_t DefaultHash(PrefixId parent, std::span<const int32_t> tokens);

 private:
  struct Entry {
    PrefixId prefix = kRootPrefix;  // kRootPrefix: not cached
    PrefixId parent = kRootPrefix;
    uint64_t hash = 0;
  };
  struct Key {
    PrefixId parent;
    std::span<const int32_t> tokens;
  };
  struct KeyHash {
    using is_transparent = void;
    const PrefixCache* cache;
    size_t operator()(BlockId block) const { return cache->entries_[block].hash; }
    size_t operator()(const Key& key) const { return cache->hash_(key.parent, key.tokens); }
  };
  struct KeyEqual {
    using is_transparent = void;
    const PrefixCache* cache;
    bool operator()(BlockId a, BlockId b) const { return a == b; }
    bool operator()(BlockId block, const Key& key) const;
    bool operator()(const Key& key, BlockId block) const { return (*this)(block, key); }
  };

  std::span<const int32_t> Tokens(BlockId block) const;

  const int block_size_tokens_;
  const Hash hash_;
  std::vector<Entry> entries_;   // by block
  std::vector<int32_t> tokens_;  // [num_blocks, block_size_tokens]
  absl::flat_hash_set<BlockId, KeyHash, KeyEqual> table_;
  PrefixId next_prefix_ = kRootPrefix + 1;
};

}  // namespace layercake
