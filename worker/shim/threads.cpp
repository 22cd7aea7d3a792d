// Bounds the threads that llama.cpp computes with, for one call. Its context is told a number once; OpenMP may give it fewer.

extern "C" void chainference_with_threads(int most, void (*compute)(void *), void * data) {
#pragma omp teams num_teams(1) thread_limit(most)
    compute(data);
}
