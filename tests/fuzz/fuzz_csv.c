/* fuzz_csv.c - any bytes as a table, in three formats: no crash, every row of an accepted table reads. */
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
        }
        (void)!lorac_table_column_find(&column, t, "text", NULL);
        lorac_row_free(&row);
        lorac_table_close(t);
    }
    return 0;
}
