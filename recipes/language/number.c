/* number.c - numbers as recipes write them; see reading.h. */
#include "recipes/language/reading.h"

bool lorac_whole_parse(uint64_t *out, const char *text, size_t n, uint64_t max)
{
    if (n == 0 || (n > 1 && text[0] == '0')) { return false; }
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9') { return false; }
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (v > (UINT64_MAX - digit) / 10) { return false; }
        v = v * 10 + digit;
    }
    *out = v;
    return v <= max;
}
