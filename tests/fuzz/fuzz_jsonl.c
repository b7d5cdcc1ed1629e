/* fuzz_jsonl.c - any bytes as JSON lines: no crash, every row of an accepted table reads, and what
 * is written of it again is JSON lines, too. */
#include "datasets/datasets.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct lorac_table_format jsonl = {.kind = LORAC_TABLE_JSONL};
    struct lorac_table *t = NULL;
    struct lorac_table *again = NULL;
    struct lorac_row row = {0};
    struct lorac_buf out = {0};
    struct lorac_err err = {0};
    if (lorac_table_parse(&t, (const char *)data, size, "fuzz.jsonl", &jsonl, &err)) {
        if (!err.text[0]) { abort(); } // refused without a reason
        return 0;
    }
    bool free_name = lorac_table_columns(t) < LORAC_MAX_COLUMNS;
    for (size_t c = 0; c < lorac_table_columns(t); c++) {
        const char *name = lorac_table_column_name(t, c);
        free_name = free_name && !(name[0] == 'p' && !name[1]);
    }
    for (size_t i = 0; i < lorac_table_rows(t); i++) {
        if (lorac_table_row(&row, t, i, NULL) || row.n != lorac_table_columns(t)) { abort(); }
        struct lorac_raw raw = lorac_table_raw_row(t, i);
        lorac_table_write_row(&out, t, &raw);
        (void)lorac_table_write_cell(&out, t, "p", row.cells[0].at, row.cells[0].n, false);
        lorac_table_write_end(&out, t);
        lorac_buf_str(&out, "\n");
    }
    if (free_name && lorac_table_parse(&again, out.at, out.n, "again", &jsonl, &err)) { abort(); }
    lorac_buf_free(&out);
    lorac_row_free(&row);
    lorac_table_close(again);
    lorac_table_close(t);
    return 0;
}
