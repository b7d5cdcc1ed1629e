/* clock.c - see clock.h. */
#define _POSIX_C_SOURCE 200809L // clock_gettime, gmtime_r
#include "base/core/clock.h"

#include <string.h>
#include <time.h>

double lorac_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double lorac_clock_unix(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

bool lorac_day_parse(int64_t *out, const char *text)
{
    static const char form[] = "0000-00-00";
    int part[3] = {0};
    *out = 0;
    if (strlen(text) != sizeof form - 1) { return false; }
    for (size_t i = 0, k = 0; form[i]; i++) {
        bool digit = text[i] >= '0' && text[i] <= '9';
        if (form[i] == '0' ? !digit : text[i] != form[i]) { return false; }
        k += form[i] == '-';
        if (digit) { part[k] = 10 * part[k] + (text[i] - '0'); }
    }
    struct tm day = {.tm_year = part[0] - 1900,
                     .tm_mon = part[1] - 1,
                     .tm_mday = part[2],
                     .tm_hour = 12,
                     .tm_isdst = -1};
    const struct tm asked = day;
    time_t at = mktime(&day);
    *out = (int64_t)at;
    return at != (time_t)-1 && day.tm_mon == asked.tm_mon && day.tm_mday == asked.tm_mday;
}

void lorac_clock_utc(char text[32])
{
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}
