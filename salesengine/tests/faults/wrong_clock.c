/* Preloaded into a process (LD_PRELOAD), whose clock is then wrong by CLOCK_ERROR seconds. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (clock == CLOCK_REALTIME)
        now->tv_sec += atol(getenv("CLOCK_ERROR"));
    return result;
}
