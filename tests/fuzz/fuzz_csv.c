/* fuzz_csv.c - any bytes as a table, in several formats: no crash, every row of an accepted table
 * reads, its raw bytes too, and columns have places. */
#include "datasets/datasets.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct lorac_table_format formats[] = {
        {.delimiter = ',', .quote = '"', .header = true},
        {.delimiter = '\t', .quote = 0, .header = false},
        {.delimiter = ';', .quote = '\'', .header = false},
        {.delimiter = ',', .quote = '"', .header = true, .encoding = LORAC_ENCODING_LATIN1},
        {.delimiter = ';', .quote = '"', .header = true, .encoding = LORAC_ENCODING_WINDOWS1252},
        {.delimiter = '\t', .quote = '"', .header = true, .encoding = LORAC_ENCODING_UTF16},
    };
    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
        struct lorac_table *t = NULL;
        struct lorac_row row = {0};
        size_t column = 0;
        if (lorac_table_parse(&t, (const char *)data, size, "fuzz.csv", &formats[f], NULL)) {
            continue;
        }
        for (size_t i = 0; i < lorac_table_rows(t); i++) {
            if (lorac_table_row(&row, t, i, NULL) || row.n != lorac_table_columns(t)) { abort(); }
            if (i > 0 && row.line <= lorac_table_line(t, i - 1)) { abort(); }
            (void)lorac_table_raw_row(t, i);
        }
        for (size_t c = 0; c < lorac_table_columns(t); c++) {
            const char *name = lorac_table_column_name(t, c);
            struct lorac_err err = {0};
            (void)!lorac_table_column_find(&column, t, name, &err);
        }
        (void)lorac_table_raw_header(t);
        (void)lorac_table_delimiter_hint(t);
        (void)!lorac_table_column_find(&column, t, "text", NULL);
        lorac_row_free(&row);
        lorac_table_close(t);
    }
    return 0;
}
