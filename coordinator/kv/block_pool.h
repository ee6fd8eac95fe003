#pragma once

// Which logical KV block is whose. A block id means the same on every stage; the bytes live in the
// workers, only the count of references lives here.

#include <cstdint>
#include <vector>

namespace layercake {

using BlockId = int32_t;

// `num_blocks` blocks, ids 0 to num_blocks - 1, each free or referenced. Free blocks stand in a
// queue: Allocate takes its front. Where a block joins on its last Release decides how soon it is
// reused, so a block whose content may be wanted again goes to the back, and Reference can take it
// out from anywhere in the queue while it is still there. All operations are O(1). Not thread-safe.
class BlockPool {
 public:
  enum class Reuse { kSoon, kLate };

  explicit BlockPool(int num_blocks);

  // The free block to be reused soonest, now with one reference. REQUIRES: num_free() > 0.
  BlockId Allocate();
  // One more reference to `block`, be it free or not.
  void Reference(BlockId block);
  // One reference less; with the last the block is free again. REQUIRES: is referenced.
  void Release(BlockId block, Reuse reuse);

  int num_references(BlockId block) const { return nodes_[block].num_references; }
  int num_free() const { return num_free_; }
  int num_blocks() const { return static_cast<int>(nodes_.size()) - 1; }

 private:
  struct Node {
    int num_references = 0;
    BlockId previous = -1;  // neighbours in the queue of free blocks
    BlockId next = -1;
  };

  void LinkBefore(BlockId next, BlockId block);
  void Unlink(BlockId block);

  // The node past the last block is the queue's sentinel: its `next` is the front.
  std::vector<Node> nodes_;
  int num_free_ = 0;
};

}  // namespace layercake
