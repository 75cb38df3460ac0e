// Functions of both sides: the GPU's, and the host's that tests them.
#pragma once

#ifdef __CUDACC__
#define NARROWS_DEVICE __host__ __device__ __forceinline__
#else
#define NARROWS_DEVICE inline
#endif
