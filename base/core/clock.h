/* clock.h - time for progress lines and manifests; results never depend on it. */
#ifndef LORAC_BASE_CORE_CLOCK_H
#define LORAC_BASE_CORE_CLOCK_H

#include "base/core/api.h"
#include <stdbool.h>
#include <stdint.h>

LORAC_API_BEGIN

double lorac_clock(void);      // seconds, monotonic, from an arbitrary start
double lorac_clock_unix(void); // seconds since 1970, of the time of day
/* Noon of a day as "2026-03-01", here, in seconds of the epoch; false: there is no such day. */
bool lorac_day_parse(int64_t *out, const char *text);
/* The time of day as "2026-03-01T12:00:00Z". */
void lorac_clock_utc(char text[32]);

LORAC_API_END

#endif
