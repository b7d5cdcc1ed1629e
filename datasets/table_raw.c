/* table_raw.c - a table's bytes as they stand in the file, for who writes the same table again; see
 * datasets.h. */
#include "datasets/table.h"

#include <assert.h>
#include <string.h>

static const char mark[] = "\xEF\xBB\xBF"; // of UTF-8's byte order

bool lorac_table_has_mark(const struct lorac_table *t)
{
    return t->size >= sizeof mark - 1 && memcmp(t->data, mark, sizeof mark - 1) == 0;
}

static bool ends_line(char c)
{
    return c == '\n' || c == '\r';
}

/* data[from, to) is one row and the line ends around it: a quote closes behind those inside a cell.
 */
static struct lorac_raw raw_of(const struct lorac_table *t, size_t from, size_t to)
{
    while (from < to && ends_line(t->data[from])) {
        from++; // blank lines before a header
    }
    size_t n = to - from;
    while (n > 0 && ends_line(t->data[from + n - 1])) {
        n--;
    }
    struct lorac_raw raw = {t->data + from, n, t->data + from + n, to - from > n};
    if (raw.n_end && to - from - n > 1 && memcmp(raw.end, "\r\n", 2) == 0) { raw.n_end = 2; }
    return raw;
}

struct lorac_raw lorac_table_raw_row(const struct lorac_table *t, size_t i)
{
    assert(i < t->rows);
    size_t from = lorac_table_offset(t, i);
    size_t to = lorac_table_offset(t, i + 1);
    struct lorac_raw raw = raw_of(t, from, to);
    if (raw.n == 0) { // the blank cell of a single column: its line end comes first
        raw.at = t->data + from;
        raw.end = raw.at;
        raw.n_end = to > from;
        if (to - from > 1 && memcmp(raw.end, "\r\n", 2) == 0) { raw.n_end = 2; }
    }
    return raw;
}

struct lorac_raw lorac_table_raw_header(const struct lorac_table *t)
{
    size_t from = lorac_table_has_mark(t) ? sizeof mark - 1 : 0;
    size_t to = lorac_table_offset(t, 0);
    return t->format.header ? raw_of(t, from, to) : (struct lorac_raw){t->data + from, 0, "", 0};
}

void lorac_table_write_row(struct lorac_buf *b, const struct lorac_table *t,
                           const struct lorac_raw *row)
{
    t->kind->begin_row(b, row);
}

bool lorac_table_write_cell(struct lorac_buf *b, const struct lorac_table *t, const char *name,
                            const char *text, size_t n, bool number)
{
    return t->kind->add_cell(b, t, name, text, n, number);
}

void lorac_table_write_end(struct lorac_buf *b, const struct lorac_table *t)
{
    t->kind->end_row(b);
}

struct lorac_table_format lorac_table_format(const struct lorac_table *t)
{
    return t->format;
}
