// One packet decoded by one warp, whatever its bytes: docs/bitstream.md, in the order of
// coder/decoder.cc, with its checks. Lanes and `Warp` are as in warp_encoder.cuh.
#pragma once

#include "cuda/serial_decoder.cuh"

namespace narrows::cuda {

template <typename Warp, typename Output>
class PacketDecoder {
 public:
  NARROWS_DEVICE PacketDecoder(Warp warp, TableView tables, RowView rows, Output output)
      : warp_(warp), tables_(tables), rows_(rows), output_(output) {}

  // `payload` is where the packet's bytes begin. The output is zeros where the verdict is not ok.
  NARROWS_DEVICE Verdict decode(const uint8_t* payload, Coded coded) {
    const uint32_t total = rows_.symbols();
    const Verdict verdict = decoded(payload, coded, total);
    if (verdict != Verdict::ok) {
      warp_.sync();
      for (uint32_t i = warp_.lane(); i < total; i += kWarp) output_.clear(i);
    }
    return verdict;
  }

 private:
  static constexpr uint32_t kAhead = 4;  // groups between checks of what is left of the words

  NARROWS_DEVICE Verdict decoded(const uint8_t* payload, Coded coded, uint32_t total) {
    const uint32_t lanes = coded.lanes;
    if (lanes < 1 || lanes > kMaxLanes || (lanes & (lanes - 1)) || coded.tail > total ||
        (lanes == 1 && coded.tail) || coded.bytes < 4 * lanes || coded.bytes % 2)
      return Verdict::sizes;
    if (reinterpret_cast<uintptr_t>(payload) % 2) return Verdict::misaligned;
    words_ = pinned(reinterpret_cast<const uint16_t*>(payload));
    end_ = coded.bytes / 2;
    if (!start(lanes)) return Verdict::lane_start;
    const uint32_t body = lanes > 1 ? total - coded.tail : 0;
    if (!take_body(lanes, body)) return Verdict::ran_out;
    if (!lanes_end(lanes)) return Verdict::lane_end;
    SerialDecoder<Warp> serial(warp_, words_, next_, end_, states_, lanes);
    take_tail(serial, body);
    if (!take_escapes(serial)) return Verdict::escape;
    return serial.at_end() ? Verdict::ok : Verdict::left_over;
  }

  NARROWS_DEVICE bool start(uint32_t lanes) {
    bool low = false;
    for (uint32_t s = 0; s < 2; ++s) {
      const uint32_t lane = warp_.lane() + s * kWarp;
      states_[s] = kLower;
      if (lane >= lanes) continue;
      states_[s] = words_[2 * lane] | uint32_t{words_[2 * lane + 1]} << 16;
      low |= states_[s] < kLower;
    }
    next_ = 2 * lanes;
    return lanes == 1 || !warp_.ballot(low);
  }

  NARROWS_DEVICE bool lanes_end(uint32_t lanes) {
    bool bad = false;
    for (uint32_t s = 0; s < 2; ++s) {
      const uint32_t lane = warp_.lane() + s * kWarp;
      bad |= lane && lane < lanes && (states_[s] < kLower || states_[s] >= 2 * kLower);
    }
    return !warp_.ballot(bad);
  }

  // The frame's first `body` symbols from all lanes. False where the words run out.
  NARROWS_DEVICE bool take_body(uint32_t lanes, uint32_t body) {
    for (uint32_t row = 0; row < rows_.count; ++row) {
      const uint32_t start = rows_.start(row), end = rows_.start(row + 1);
      if (start >= body) break;
      const uint32_t count = (end < body ? end : body) - start;
      met_escape_ = false;
      const bool whole = lanes == 2 * kWarp ? take_row<2>(row, start, count, lanes)
                                            : take_row<1>(row, start, count, lanes);
      if (!whole) return false;
      note_escapes(row);
    }
    return true;
  }

  template <uint32_t States>
  NARROWS_DEVICE bool take_row(uint32_t row, uint32_t start, uint32_t count, uint32_t lanes) {
    const TableRow table = tables_.rows[row];
    const auto output = output_.row(row, start, table);
    const Lookup lookup(tables_, row, table);
    uint32_t first = 0;
    if (lanes >= kWarp) {
      constexpr uint32_t kSymbols = kAhead * kWarp * States;
      while (first + kSymbols <= count && end_ - next_ >= kSymbols) {
#pragma unroll
        for (uint32_t g = 0; g < kAhead * States; ++g, first += kWarp)
          take<true>(output, lookup, table.length, states_[g % States], first + warp_.lane(), true);
      }
    }
    for (; first < count; first += lanes) {
#pragma unroll
      for (uint32_t s = 0; s < States; ++s) {
        const uint32_t lane = warp_.lane() + s * kWarp;
        const bool active = lane < lanes && first + lane < count;
        if (!take<false>(output, lookup, table.length, states_[s], first + lane, active))
          return false;
      }
    }
    return true;
  }

  // One symbol of every active lane, the lowest reads its word first. False where there is none.
  template <bool Whole, typename Row>
  NARROWS_DEVICE bool take(const Row& output, const Lookup& lookup, uint32_t length,
                           uint32_t& state, uint32_t index, bool active) {
    uint32_t entry = 0, interval = 0, after = state;
    if (Whole || active) {
      entry = lookup.find(state & (kTotal - 1), interval);
      after = popped(state, interval);
      output.put(index, entry);
      met_escape_ |= entry == length;
    }
    const bool needs = after < kLower;
    const uint32_t mask = warp_.ballot(needs);
    if (!Whole && end_ - next_ < count_bits(mask)) return false;
    if (needs)
      after = after << 16 | load_table(words_ + (next_ + count_bits(mask & warp_.below())));
    next_ += count_bits(mask);
    state = after;
    return true;
  }

  NARROWS_DEVICE void take_tail(SerialDecoder<Warp>& serial, uint32_t body) {
    for (uint32_t row = 0; row < rows_.count; ++row) {
      const uint32_t start = rows_.start(row), end = rows_.start(row + 1);
      if (end <= body) continue;
      const TableRow table = tables_.rows[row];
      const auto output = output_.row(row, start, table);
      const Lookup lookup(tables_, row, table);
      met_escape_ = false;
      for (uint32_t at = start < body ? body : start; at < end; at += kWarp) {
        const uint32_t window = end - at < kWarp ? end - at : kWarp;
        uint32_t mine = 0;
        for (uint32_t k = 0; k < window; ++k) {
          const uint32_t entry = serial.take(lookup);
          if (k == warp_.lane()) mine = entry;
        }
        if (warp_.lane() >= window) continue;
        output.put(at - start + warp_.lane(), mine);
        met_escape_ |= mine == table.length;
      }
      note_escapes(row);
    }
  }

  // A bit stands for every 64th row.
  NARROWS_DEVICE void note_escapes(uint32_t row) {
    if (warp_.ballot(met_escape_)) escape_rows_ |= uint64_t{1} << row % 64;
  }

  // Where put() left its mark, in scan order. False where a value is beyond int16.
  NARROWS_DEVICE bool take_escapes(SerialDecoder<Warp>& serial) {
    warp_.sync();
    for (uint32_t row = 0; row < rows_.count; ++row) {
      if (!(escape_rows_ >> row % 64 & 1)) continue;
      const uint32_t start = rows_.start(row), count = rows_.start(row + 1) - start;
      const TableRow table = tables_.rows[row];
      const auto output = output_.row(row, start, table);
      for (uint32_t at = 0; at < count; at += kWarp) {
        const uint32_t mine = at + warp_.lane();
        uint32_t mask = warp_.ballot(mine < count && output.is_escape(output.load(mine)));
        for (; mask; mask &= mask - 1) {
          int32_t symbol;
          if (!serial.take_escape(table, symbol)) return false;
          if (at + lowest_bit(mask) == mine) output.set(mine, symbol);
        }
      }
    }
    return true;
  }

  Warp warp_;
  TableView tables_;
  RowView rows_;
  Output output_;
  const uint16_t* words_ = nullptr;
  uint32_t next_ = 0, end_ = 0;  // of the words, the same in every thread
  uint32_t states_[2] = {};      // of this thread's lanes
  bool met_escape_ = false;      // this thread, in this row
  uint64_t escape_rows_ = 0;
};

}  // namespace narrows::cuda
