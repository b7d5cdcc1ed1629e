/* suggest.c - see suggest.h. */
#include "base/core/suggest.h"
#include "base/core/mem.h"

#include <stdio.h>
#include <string.h>

enum { MAX_WORD = 127 };

static size_t length(const char *s)
{
    size_t n = strlen(s);
    return n < MAX_WORD ? n : MAX_WORD;
}

static bool same(char a, char b)
{
    bool letter = (a | 32) >= 'a' && (a | 32) <= 'z';
    return a == b || (letter && (a ^ b) == 32);
}

size_t lorac_distance(const char *a, const char *b)
{
    size_t n = length(a);
    size_t m = length(b);
    size_t rows[3][MAX_WORD + 1] = {{0}}; // distances of a[0..i-2), a[0..i-1), a[0..i) to b[0..j)
    size_t *before = rows[0];
    size_t *last = rows[1];
    size_t *row = rows[2];
    for (size_t j = 0; j <= m; j++) {
        last[j] = j;
    }
    for (size_t i = 1; i <= n; i++) {
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t replaced = last[j - 1] + !same(a[i - 1], b[j - 1]);
            row[j] = lorac_min(lorac_min(last[j] + 1, row[j - 1] + 1), replaced);
            if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1])) {
                row[j] = lorac_min(row[j], before[j - 2] + 1);
            }
        }
        size_t *spare = before;
        before = last;
        last = row;
        row = spare;
    }
    return last[m];
}

bool lorac_near_try(struct lorac_near *near, const char *candidate)
{
    size_t n = strlen(near->word);
    size_t m = strlen(candidate);
    if (n > MAX_WORD || m > MAX_WORD) { return false; }
    size_t d = lorac_distance(near->word, candidate);
    if (d > near->most || d >= n || d >= m || (near->best && d >= near->distance)) { return false; }
    near->best = candidate;
    near->distance = d;
    return true;
}

const char *lorac_near_hint(char *out, size_t size, const char *meant)
{
    (void)snprintf(out, size, "%s%s%s", meant ? " (did you mean '" : "", meant ? meant : "",
                   meant ? "'?)" : "");
    return out;
}
