/*
 * A file that another program writes to while it is used. What is promised: a row that is no longer
 * what was counted is an error with its line, and neither the table nor the row's memory is spoilt
 * for others. One example's memory serves rows of any length.
 */
#include "tests/datasets/bytes.h"

static const struct lorac_dataset_options usual = {
    .prompt = "{text}: ", .completion = "{label}", .max_length = 64};

static void a_row_with_other_cells_is_an_error(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        char byte;
    } changes[] = {
        {7, ';'}, // no delimiter any more
        {6, ','}, // one more
        {6, '"'}, // a quote that is never closed
        {8, '"'}, // a quote within a cell
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char text[] = "t,l\n\n\nx,y\nz,w\n";
        struct lorac_table *t = open_text(text);
        struct lorac_row row = {0};
        struct lorac_err err = {0};
        text[changes[i].at] = changes[i].byte;
        assert_int_equal(lorac_table_row(&row, t, 0, &err), LORAC_EIO);
        assert_string_equal(err.text, "t.csv:4: the file changed while it was read");
        assert_null(row.cells);
        assert_int_equal(lorac_table_row(&row, t, 1, &err), LORAC_OK);
        assert_memory_equal(row.cells[1].at, "w", 1);
        lorac_row_free(&row);
        lorac_table_close(t);
    }
}

static void an_example_that_reads_otherwise_is_an_error(void **state)
{
    (void)state;
    struct lorac_tokenizer *bytes = open_bytes();
    static const struct {
        size_t at;
        char byte;
        const char *want; // NULL: the row has the same tokens
    } changes[] = {
        {11, 'y', "t.csv:2: the file changed while it was read"},
        {13, 'y', "t.csv:2: the file changed while it was read"},
        {11, ' ', "t.csv:2: the file changed while it was read"}, // blank now
        {15, 'y', NULL},                                          // another row
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct lorac_example e = {0};
        struct lorac_err err = {0};
        struct lorac_dataset_options o = usual;
        for (size_t cached = 0; cached < 2; cached++) { // which does not read again
            char text[] = "text,label\na,b\nc,d\n";
            struct lorac_table *t = open_text(text);
            o.cache = cached ? 1 << 20 : 0;
            struct lorac_dataset *d = open_dataset(t, bytes, &o);
            assert_int_equal(lorac_dataset_is_cached(d), cached);
            text[changes[i].at] = changes[i].byte;
            const bool fails = changes[i].want && !cached;
            assert_int_equal(lorac_dataset_example(&e, d, 0, &err), fails ? LORAC_EIO : LORAC_OK);
            if (fails) { assert_string_equal(err.text, changes[i].want); }
            lorac_dataset_close(d);
            lorac_table_close(t);
        }
        lorac_example_free(&e);
    }
    lorac_tokenizer_free(bytes);
}

/* Short and long rows by turns, read into one example. */
static void an_example_holds_rows_of_any_length(void **state)
{
    (void)state;
    struct lorac_tokenizer *bytes = open_bytes();
    struct lorac_buf text = {0};
    struct lorac_dataset_options o = usual;
    o.max_length = 4096;
    lorac_buf_str(&text, "text,label\n");
    for (int i = 0; i < 12; i++) {
        lorac_buf_printf(&text, "%0*d,b\n", i % 2 ? 1 : 1 << i, 7);
    }
    struct lorac_table *t = open_text(text.at);
    for (size_t cached = 0; cached < 2; cached++) {
        struct lorac_example e = {0};
        o.cache = cached ? 1 << 20 : 0;
        struct lorac_dataset *d = open_dataset(t, bytes, &o);
        assert_int_equal(lorac_dataset_size(d), 12);
        assert_int_equal(lorac_dataset_is_cached(d), cached);
        for (size_t i = 0; i < 12; i++) {
            const size_t digits = i % 2 ? 1 : (size_t)1 << i;
            assert_int_equal(lorac_dataset_example(&e, d, i, NULL), LORAC_OK);
            assert_int_equal(e.ids.n, lorac_dataset_length(d, i));
            assert_true(e.ids.cap >= e.ids.n);
            assert_int_equal(e.ids.at[0], BOS);
            for (size_t k = 0; k < digits; k++) {
                assert_int_equal(e.ids.at[1 + k], k + 1 < digits ? '0' : '7');
            }
            assert_int_equal(e.ids.at[1 + digits], COLON);
        }
        lorac_example_free(&e);
        lorac_dataset_close(d);
    }
    lorac_table_close(t);
    lorac_buf_free(&text);
    lorac_tokenizer_free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_with_other_cells_is_an_error),
        cmocka_unit_test(an_example_that_reads_otherwise_is_an_error),
        cmocka_unit_test(an_example_holds_rows_of_any_length),
    };
    return cmocka_run_group_tests_name("changed", tests, NULL, NULL);
}
