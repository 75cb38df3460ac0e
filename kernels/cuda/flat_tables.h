// A bundle's tables one after another, as they are copied to a GPU.
#pragma once

#include <vector>

#include "cuda/views.h"

namespace narrows::cuda {

struct FlatTables {
  std::vector<TableRow> rows;
  std::vector<PackedPush> pushes;
  std::vector<uint32_t> pops;
  std::vector<uint16_t> finds;
  std::vector<uint32_t> costs;

  explicit FlatTables(const Tables& tables) {
    for (size_t c = 0; c < tables.channels().size(); ++c) {
      const Channel& channel = tables.channels()[c];
      const std::vector<uint16_t>& first = tables.decoding()[c].first;
      rows.push_back({channel.offset, static_cast<uint32_t>(channel.length),
                      static_cast<uint32_t>(pushes.size())});
      pushes.insert(pushes.end(), channel.packed_pushes.begin(), channel.packed_pushes.end());
      costs.insert(costs.end(), channel.cost.begin(), channel.cost.end());
      pops.insert(pops.end(), channel.pop_intervals.begin(),
                  channel.pop_intervals.begin() + channel.intervals.size());
      finds.insert(finds.end(), first.begin(), first.end());
    }
  }

  TableView view() const {
    return {rows.data(), pushes.data(), pops.data(), finds.data(), costs.data()};
  }
};

}  // namespace narrows::cuda
