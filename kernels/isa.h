// Which instruction set the kernels use. Each has its own source files, compiled for it alone; the
// choice is made once, at run time, from what the processor reports.
#pragma once

#include <string>

namespace narrows {

// In each architecture every one includes those before it.
enum class Isa {
  portable,
  avx2,    // with FMA, BMI2
  avx512,  // F, BW, CD, DQ, VL, VBMI, VBMI2 and VNNI: Ice Lake, Zen 4 and later
  neon,
  dotprod,  // Armv8.2: Cortex-A55, A76 and later
  i8mm,     // Armv8.6: Neoverse V1, Cortex-A710 and later
};

constexpr Isa kAllIsas[] = {Isa::portable, Isa::avx2,    Isa::avx512,
                            Isa::neon,     Isa::dotprod, Isa::i8mm};

// The best this machine has, or the one NARROWS_ISA names: portable, avx2, avx512, neon, dotprod or
// i8mm. Throws std::runtime_error where NARROWS_ISA names one that this machine or build lacks.
Isa isa();

// The one of that name, or isa() where it is empty. Throws std::runtime_error.
Isa isa_of(const std::string& name);

// Whether this build has it and this machine can run it.
bool has(Isa isa);

const char* name_of(Isa isa);

}  // namespace narrows
