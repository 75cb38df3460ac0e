// A warp without a GPU: 32 fibers that run the same source, each to its next ballot, shuffle or
// sync, in an order drawn anew each time. Between two of these no thread may rely on another's
// writes; where the order matters, results differ and the tests say so.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <random>
#include <stdexcept>
#include <vector>

namespace narrows::cuda {

class EmulatedWarp;

class WarpEmulation {
 public:
  explicit WarpEmulation(uint64_t seed) : random_(seed), stacks_(32 * kStack) {}

  // Calls `thread` with each of 32 EmulatedWarps. Throws std::logic_error where the threads meet
  // at different places.
  void run(const std::function<void(EmulatedWarp)>& thread);

  enum class Meeting { none, ballot, shuffle, sync };

  // Of one thread: what it brings to the meeting, and what everybody brought.
  const uint32_t* meet(uint32_t lane, Meeting meeting, uint32_t value) {
    meetings_[lane] = meeting;
    brought_[lane] = value;
    swapcontext(&fibers_[lane], &scheduler_);
    return met_;
  }

 private:
  static constexpr size_t kStack = 64 << 10;

  static void enter(unsigned high, unsigned low);
  void resume(uint32_t lane);

  std::mt19937_64 random_;
  std::vector<char> stacks_;
  ucontext_t scheduler_, fibers_[32];
  const std::function<void(EmulatedWarp)>* thread_ = nullptr;
  uint32_t running_ = 0;
  bool done_[32];
  Meeting meetings_[32];
  uint32_t brought_[32], met_[32];
};

class EmulatedWarp {
 public:
  EmulatedWarp(WarpEmulation* emulation, uint32_t lane) : emulation_(emulation), lane_(lane) {}

  uint32_t lane() const { return lane_; }
  uint32_t above() const { return ~((2u << lane_) - 1); }
  uint32_t below() const { return (1u << lane_) - 1; }
  uint32_t ballot(bool vote) const {
    const uint32_t* votes = emulation_->meet(lane_, WarpEmulation::Meeting::ballot, vote);
    uint32_t mask = 0;
    for (uint32_t lane = 0; lane < 32; ++lane) mask |= votes[lane] << lane;
    return mask;
  }
  template <typename T>
  T shuffle(T value, uint32_t from) const {
    return static_cast<T>(emulation_->meet(lane_, WarpEmulation::Meeting::shuffle,
                                           static_cast<uint32_t>(value))[from]);
  }
  void sync() const { emulation_->meet(lane_, WarpEmulation::Meeting::sync, 0); }

 private:
  WarpEmulation* emulation_;
  uint32_t lane_;
};

inline void WarpEmulation::enter(unsigned high, unsigned low) {
  auto* self = reinterpret_cast<WarpEmulation*>(uintptr_t{high} << 32 | low);
  const uint32_t lane = self->running_;
  (*self->thread_)(EmulatedWarp(self, lane));
  self->done_[lane] = true;
}

inline void WarpEmulation::resume(uint32_t lane) {
  running_ = lane;
  swapcontext(&scheduler_, &fibers_[lane]);
}

inline void WarpEmulation::run(const std::function<void(EmulatedWarp)>& thread) {
  thread_ = &thread;
  const auto self = reinterpret_cast<uintptr_t>(this);
  std::vector<uint32_t> order(32);
  for (uint32_t lane = 0; lane < 32; ++lane) {
    order[lane] = lane;
    done_[lane] = false;
    getcontext(&fibers_[lane]);
    fibers_[lane].uc_stack.ss_sp = stacks_.data() + lane * kStack;
    fibers_[lane].uc_stack.ss_size = kStack;
    fibers_[lane].uc_link = &scheduler_;
    makecontext(&fibers_[lane], reinterpret_cast<void (*)()>(&WarpEmulation::enter), 2,
                static_cast<unsigned>(self >> 32), static_cast<unsigned>(self));
  }
  for (;;) {
    std::fill_n(meetings_, 32, Meeting::none);
    std::shuffle(order.begin(), order.end(), random_);
    for (const uint32_t lane : order) resume(lane);
    for (uint32_t lane = 1; lane < 32; ++lane)
      if (done_[lane] != done_[0] || meetings_[lane] != meetings_[0])
        throw std::logic_error("the threads of a warp meet at different places");
    if (done_[0]) return;
    std::copy_n(brought_, 32, met_);
  }
}

}  // namespace narrows::cuda
