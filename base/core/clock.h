/* clock.h - time for progress lines and manifests; results never depend on it. */
#ifndef LORAC_BASE_CORE_CLOCK_H
#define LORAC_BASE_CORE_CLOCK_H

#include "base/core/api.h"

LORAC_API_BEGIN

double lorac_clock(void);      // seconds, monotonic, from an arbitrary start
double lorac_clock_unix(void); // seconds since 1970, of the time of day
/* The time of day as "2026-03-01T12:00:00Z". */
void lorac_clock_utc(char text[32]);

LORAC_API_END

#endif
