// One packet encoded by one warp: docs/bitstream.md, in the order of coder/encoder.cc.
//
// A lane of the coder is a thread; of 64 lanes every thread has two. `Warp` is lane(),
// ballot(bool), shuffle(value, from), sync() and the masks above() and below(): of a GPU, or
// emulated on the host.
#pragma once

#include "coder/lanes.h"
#include "cuda/serial_encoder.cuh"

namespace narrows::cuda {

template <typename Warp, typename Source>
class PacketEncoder {
 public:
  // `words` has room for half of slot_bytes and kScratchSlack.
  NARROWS_DEVICE PacketEncoder(Warp warp, TableView tables, RowView rows, Source source,
                               uint16_t* words, uint32_t slot_bytes)
      : warp_(warp),
        tables_(tables),
        rows_(rows),
        source_(source),
        words_(pinned(words)),
        capacity_(slot_bytes / 2 + kScratchSlack),
        slot_bytes_(slot_bytes),
        serial_(warp, words, capacity_) {}

  // Into `payload`, which is aligned to 4 bytes. Of 0 lanes it chooses; they fall to 1 where the
  // frame is too small.
  // Reads the frame twice: escaped values come first, and tables leave a few to most frames.
  NARROWS_DEVICE Encoded encode(uint32_t lanes, uint8_t* payload) {
    const uint32_t total = rows_.symbols();
    const uint32_t step = sample_step(total);
    if (!lanes) lanes = lanes_for(sampled_cost(step), step);
    for (;;) {
      serial_.restart();
      push_escapes();
      const uint32_t tail = push_tail(lanes - 1);
      if (serial_.count() < lanes - 1) {
        lanes = 1;
        if (tail < total) continue;
      }
      unpark(lanes);
      const bool fits = lanes == 1 || push_body(lanes, total - tail);
      return fits ? packed(lanes, tail, payload) : Encoded{0, 0, 0, Verdict::too_large};
    }
  }

  // What every step-th symbol costs at best, from the last one on. The same in every thread.
  NARROWS_DEVICE uint64_t sampled_cost(uint32_t step) {
    const uint32_t total = rows_.symbols();
    uint64_t mine = 0, all = 0;
    for (uint32_t row = 0; row < rows_.count; ++row) {
      const uint32_t start = rows_.start(row), end = rows_.start(row + 1);
      const TableRow table = tables_.rows[row];
      const auto source = source_.row(row, start);
      // The first of the sample from this row's end on, and then on towards its start.
      const uint32_t sample = (total - end + step - 1) / step + warp_.lane();
      for (uint32_t k = sample * step; k < total - start; k += step * kWarp) {
        const uint32_t index = source.symbol(source.load(total - 1 - k - start)) - table.offset;
        mine +=
            load_table(tables_.costs + table.begin + (index < table.length ? index : table.length));
      }
    }
    for (uint32_t lane = 0; lane < kWarp; ++lane)
      all += uint64_t{warp_.shuffle(static_cast<uint32_t>(mine >> 32), lane)} << 32 |
             warp_.shuffle(static_cast<uint32_t>(mine), lane);
    return all;
  }

 private:
  static constexpr uint32_t kAhead = 8;  // groups loaded together: the states depend on none

  // Of the whole frame, the last first.
  NARROWS_DEVICE void push_escapes() {
    for (uint32_t row = rows_.count; row-- > 0;) {
      const uint32_t start = rows_.start(row);
      const TableRow table = tables_.rows[row];
      const auto source = source_.row(row, start);
      for (uint32_t left = rows_.start(row + 1) - start; left;) {
        int32_t symbols[kAhead];
        bool any = false;
#pragma unroll
        for (uint32_t k = 0; k < kAhead; ++k) {
          const uint32_t back = k * kWarp + warp_.lane();  // from the last symbol left
          symbols[k] = back < left ? source.symbol(source.load(left - 1 - back)) : table.offset;
          any |= outside(symbols[k], table);
        }
        if (warp_.ballot(any)) {
#pragma unroll
          for (uint32_t k = 0; k < kAhead; ++k)
            for (uint32_t mask = warp_.ballot(outside(symbols[k], table)); mask; mask &= mask - 1)
              serial_.push_escape(warp_.shuffle(symbols[k], lowest_bit(mask)), table);
        }
        left -= left < kAhead * kWarp ? left : kAhead * kWarp;
      }
    }
  }

  NARROWS_DEVICE static bool outside(int32_t symbol, TableRow table) {
    return static_cast<uint32_t>(symbol - table.offset) >= table.length;
  }

  NARROWS_DEVICE const PackedPush* pushes_of(TableRow table) const {
    return pinned(tables_.pushes + table.begin);
  }

  NARROWS_DEVICE static PackedPush find(int32_t symbol, TableRow table, const PackedPush* pushes) {
    const uint32_t index = static_cast<uint32_t>(symbol - table.offset);
    return load_push(pushes + (index < table.length ? index : table.length));
  }

  // Lane 0 alone, until its words fill the other lanes' first states; with one lane, to the end.
  // Returns how many symbols that took.
  NARROWS_DEVICE uint32_t push_tail(uint32_t parked) {
    uint32_t tail = 0;
    for (uint32_t row = rows_.count; row-- > 0;) {
      const uint32_t start = rows_.start(row);
      const TableRow table = tables_.rows[row];
      const auto source = source_.row(row, start);
      const PackedPush* pushes = pushes_of(table);
      for (uint32_t left = rows_.start(row + 1) - start; left;) {
        const uint32_t window = left < kWarp ? left : kWarp;
        PackedPush mine{};
        if (parked && serial_.count() >= parked) return tail;
        if (warp_.lane() < window)
          mine = find(source.symbol(source.load(left - 1 - warp_.lane())), table, pushes);
        for (uint32_t k = 0; k < window; ++k, ++tail) {
          if (parked && (serial_.count() >= parked || tail == kMaxTail)) return tail;
          serial_.push({warp_.shuffle(mine.interval, k), warp_.shuffle(mine.multiplier, k)});
        }
        left -= window;
      }
    }
    return tail;
  }

  NARROWS_DEVICE void unpark(uint32_t lanes) {
    warp_.sync();
    count_ = serial_.count();
    for (uint32_t s = 0; s < 2; ++s) {
      const uint32_t lane = warp_.lane() + s * kWarp;
      states_[s] = lane && lane < lanes ? kLower + words_[lane - 1] : serial_.state();
    }
  }

  // The frame's first `body` symbols on all lanes. False where the words do not fit.
  NARROWS_DEVICE bool push_body(uint32_t lanes, uint32_t body) {
    for (uint32_t row = rows_.count; row-- > 0;) {
      const uint32_t start = rows_.start(row), end = rows_.start(row + 1);
      if (start >= body) continue;
      const uint32_t count = (end < body ? end : body) - start;
      const bool fits = lanes == 2 * kWarp ? push_row<2>(row, start, count, lanes)
                                           : push_row<1>(row, start, count, lanes);
      if (!fits) return false;
    }
    return true;
  }

  template <uint32_t States>
  NARROWS_DEVICE bool push_row(uint32_t row, uint32_t start, uint32_t count, uint32_t lanes) {
    constexpr uint32_t kTogether = kAhead / States;
    const TableRow table = tables_.rows[row];
    const auto source = source_.row(row, start);
    const PackedPush* pushes = pushes_of(table);
    uint32_t groups = (count + lanes - 1) / lanes;
    const uint32_t whole = lanes >= kWarp ? count / lanes : 0;  // without idle threads
    while (groups) {
      if (count_ + 2 * kWarp * kTogether > capacity_) return false;
      if (groups > whole || groups < kTogether) {
        push_groups<1, States, false>(source, table, pushes, --groups, count, lanes);
      } else {
        groups -= kTogether;
        push_groups<kTogether, States, true>(source, table, pushes, groups, count, lanes);
      }
    }
    return true;
  }

  // Groups first to first + Groups - 1 of a row, the last first.
  template <uint32_t Groups, uint32_t States, bool Whole, typename SourceRow>
  NARROWS_DEVICE void push_groups(const SourceRow& source, TableRow table, const PackedPush* pushes,
                                  uint32_t first, uint32_t count, uint32_t lanes) {
    if (Whole) lanes = States * kWarp;  // a constant
    typename SourceRow::Raw raw[Groups][States] = {};
    PackedPush symbols[Groups][States] = {};
    bool active[States];
#pragma unroll
    for (uint32_t s = 0; s < States; ++s) {
      const uint32_t lane = warp_.lane() + s * kWarp;
      active[s] = Whole || (lane < lanes && first * lanes + lane < count);
#pragma unroll
      for (uint32_t g = 0; g < Groups; ++g)
        if (active[s]) raw[g][s] = source.load(first * lanes + lane + g * lanes);
    }
#pragma unroll
    for (uint32_t g = 0; g < Groups; ++g)
#pragma unroll
      for (uint32_t s = 0; s < States; ++s)
        if (active[s]) symbols[g][s] = find(source.symbol(raw[g][s]), table, pushes);
#pragma unroll
    for (uint32_t g = Groups; g-- > 0;)
#pragma unroll
      for (uint32_t s = States; s-- > 0;) push(states_[s], symbols[g][s], active[s]);
  }

  // One symbol on every active lane; the highest lane's word comes first.
  NARROWS_DEVICE void push(uint32_t& state, PackedPush symbol, bool active) {
    const bool gives = active && emits(state, symbol);
    const uint32_t mask = warp_.ballot(gives);
    if (gives) {
      words_[count_ + count_bits(mask & warp_.above())] = static_cast<uint16_t>(state);
      state >>= 16;
    }
    count_ += count_bits(mask);
    if (active) state = pushed(state, symbol);
  }

  // States, then the words but the parked ones in reverse: the order the decoder reads them.
  NARROWS_DEVICE Encoded packed(uint32_t lanes, uint32_t tail, uint8_t* payload) {
    const uint32_t words = count_ - (lanes - 1), bytes = 4 * lanes + 2 * words;
    if (bytes > slot_bytes_) return {0, 0, 0, Verdict::too_large};
    warp_.sync();
    for (uint32_t s = 0; s < 2; ++s) {
      const uint32_t lane = warp_.lane() + s * kWarp;
      if (lane < lanes) reinterpret_cast<uint32_t*>(payload)[lane] = states_[s];
    }
    auto* to = reinterpret_cast<uint16_t*>(payload + 4 * lanes);
    for (uint32_t begin = 0; begin < words; begin += kAhead * kWarp) {
      uint16_t some[kAhead];
#pragma unroll
      for (uint32_t k = 0; k < kAhead; ++k) {
        const uint32_t i = begin + k * kWarp + warp_.lane();
        if (i < words) some[k] = words_[count_ - 1 - i];
      }
#pragma unroll
      for (uint32_t k = 0; k < kAhead; ++k) {
        const uint32_t i = begin + k * kWarp + warp_.lane();
        if (i < words) to[i] = some[k];
      }
    }
    return {bytes, lanes, lanes > 1 ? tail : 0, Verdict::ok};
  }

  Warp warp_;
  TableView tables_;
  RowView rows_;
  Source source_;
  uint16_t* words_;
  uint32_t capacity_, slot_bytes_;
  SerialEncoder<Warp> serial_;
  uint32_t count_ = 0;       // words, the same in every thread
  uint32_t states_[2] = {};  // of this thread's lanes
};

}  // namespace narrows::cuda
