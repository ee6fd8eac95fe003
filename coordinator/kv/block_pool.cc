#include "coordinator/kv/block_pool.h"

#include "common/base/logging.h"

namespace layercake {

BlockPool::BlockPool(int num_blocks) {
  CHECK_GT(num_blocks, 0);
  nodes_.resize(num_blocks + 1);
  const BlockId sentinel = num_blocks;
  nodes_[sentinel].previous = nodes_[sentinel].next = sentinel;
  for (BlockId block = 0; block < num_blocks; ++block) LinkBefore(sentinel, block);
}

BlockId BlockPool::Allocate() {
  CHECK_GT(num_free_, 0);
  const BlockId block = nodes_.back().next;
  Reference(block);
  return block;
}

void BlockPool::Reference(BlockId block) {
  if (nodes_[block].num_references++ == 0) Unlink(block);
}

void BlockPool::Release(BlockId block, Reuse reuse) {
  CHECK_GT(nodes_[block].num_references, 0) << "block " << block;
  if (--nodes_[block].num_references > 0) return;
  LinkBefore(reuse == Reuse::kSoon ? nodes_.back().next : num_blocks(), block);
}

void BlockPool::LinkBefore(BlockId next, BlockId block) {
  const BlockId previous = nodes_[next].previous;
  nodes_[block].previous = previous;
  nodes_[block].next = next;
  nodes_[previous].next = block;
  nodes_[next].previous = block;
  ++num_free_;
}

void BlockPool::Unlink(BlockId block) {
  const Node& node = nodes_[block];
  nodes_[node.previous].next = node.next;
  nodes_[node.next].previous = node.previous;
  --num_free_;
}

}  // namespace layercake
