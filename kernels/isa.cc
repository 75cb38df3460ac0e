#include "isa.h"

#include <cstdlib>
#include <stdexcept>

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace narrows {
namespace {

Isa choose() {
  const char* wanted = std::getenv("NARROWS_ISA");
  if (wanted && *wanted) return isa_of(wanted);
  Isa best = Isa::portable;
  for (const Isa isa : kAllIsas)
    if (has(isa)) best = isa;
  return best;
}

}  // namespace

bool has(Isa isa) {
  switch (isa) {
    case Isa::portable:
      return true;
#if defined(__x86_64__)
    case Isa::avx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
             __builtin_cpu_supports("bmi2");
    case Isa::avx512:
      return has(Isa::avx2) && __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2") &&
             __builtin_cpu_supports("avx512vnni");
#elif defined(__aarch64__)
    case Isa::neon:
      return true;
    case Isa::dotprod:
      return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
    case Isa::i8mm:
      return has(Isa::dotprod) && (getauxval(AT_HWCAP2) & HWCAP2_I8MM);
#endif
    default:
      return false;
  }
}

Isa isa_of(const std::string& name) {
  if (name.empty()) return isa();
  std::string known;
  for (const Isa isa : kAllIsas) {
    if (!has(isa)) continue;
    if (name == name_of(isa)) return isa;
    known += (known.empty() ? "" : ", ") + std::string(name_of(isa));
  }
  throw std::runtime_error("NARROWS_ISA is " + name + ": this machine has " + known);
}

Isa isa() {
  static const Isa chosen = choose();
  return chosen;
}

const char* name_of(Isa isa) {
  switch (isa) {
    case Isa::portable:
      return "portable";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    case Isa::neon:
      return "neon";
    case Isa::dotprod:
      return "dotprod";
    case Isa::i8mm:
      return "i8mm";
  }
  return "portable";
}

}  // namespace narrows
