/* The one thing that build scripts look for: the version of the toolkit, 13.2. */
#define CUDA_VERSION 13020
