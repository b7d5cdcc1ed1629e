/*
 * Tables of another encoding that are larger than the block in which they are decoded. What is
 * promised:
 *   - each has the text of its twin in UTF-8, wherever a block ends: within a character of several
 *     bytes, a surrogate pair, a line's end;
 *   - one in UTF-8 is still not taken for Latin-1;
 *   - a damaged character is refused with the place that it has in the file, however far behind;
 *   - where the text cannot be written down, that is said with the folder, and nothing is left.
 */
#define _DEFAULT_SOURCE // mkdtemp, setenv
#include "base/core/fault.h"
#include "base/core/file.h"
#include "base/core/scratch.h"
#include "datasets/encoding.h"
#include "tests/datasets/bytes.h"

#include <errno.h>
#include <stdlib.h>

/* A header and a line, which is é€😀,a or what the encoding has of it; and the line in UTF-8. */
static const struct {
    enum lorac_encoding encoding;
    const char *head, *line; // with NULs
    size_t n_head, n_line;
    const char *twin;
} cases[] = {
    {LORAC_ENCODING_LATIN1, "t,l\n", "\xE9\xFC,a\r\n", 4, 6, "\xC3\xA9\xC3\xBC,a\r\n"},
    {LORAC_ENCODING_WINDOWS1252, "t,l\n", "\xE9\x80,a\r\n", 4, 6, "\xC3\xA9\xE2\x82\xAC,a\r\n"},
    {LORAC_ENCODING_UTF16, "t\0,\0l\0\n", "\xE9\0\xAC\x20\x3D\xD8\0\xDE,\0a\0\r\0\n", 8, 16,
     "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80,a\r\n"},
    {LORAC_ENCODING_UTF16, "\0t\0,\0l\0\n", "\0\xE9\x20\xAC\xD8\x3D\xDE\0\0,\0a\0\r\0\n", 8, 16,
     "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80,a\r\n"},
};
enum { N_CASES = sizeof cases / sizeof *cases };

static struct lorac_table_format format_of(size_t c)
{
    return (struct lorac_table_format){
        .delimiter = ',', .quote = '"', .header = true, .encoding = cases[c].encoding};
}

static size_t size = 3 * LORAC_DECODE_BLOCK;

/* Lines of more UTF-8 than `size` bytes. */
static size_t lines_of(size_t c)
{
    return size / strlen(cases[c].twin) + 2;
}

/* They stand behind a header that is longer by `shift` characters. */
static void write_lines(struct lorac_buf *b, size_t c, size_t shift)
{
    for (size_t i = 0; i < shift; i++) {
        lorac_buf_add(b, cases[c].head, cases[c].n_head / 4); // its first character
    }
    lorac_buf_add(b, cases[c].head, cases[c].n_head);
    for (size_t i = 0; i < lines_of(c); i++) {
        lorac_buf_add(b, cases[c].line, cases[c].n_line);
    }
    assert_false(b->no_memory);
}

static void write_twin(struct lorac_buf *b, size_t c, size_t shift)
{
    for (size_t i = 0; i < shift; i++) {
        lorac_buf_str(b, "t");
    }
    lorac_buf_str(b, "t,l\n");
    for (size_t i = 0; i < lines_of(c); i++) {
        lorac_buf_str(b, cases[c].twin);
    }
    assert_false(b->no_memory);
}

/* From memory, or from the file at `path`. */
static void expect_twins(const struct lorac_buf *other, const struct lorac_buf *twin, size_t c,
                         const char *path)
{
    struct lorac_table *t = NULL;
    struct lorac_row row = {0};
    struct lorac_err err = {0};
    const struct lorac_table_format f = format_of(c);
    if (path ? lorac_table_open(&t, path, &f, &err)
             : lorac_table_parse(&t, other->at, other->n, "t.csv", &f, &err)) {
        fail_msg("%s", err.text);
    }
    size_t last = lines_of(c) - 1;
    assert_int_equal(lorac_table_rows(t), last + 1);
    const struct lorac_raw end = lorac_table_raw_row(t, last);
    const char *text = lorac_table_raw_header(t).at; // all of it follows
    assert_int_equal(end.end + end.n_end - text, twin->n);
    assert_int_equal(memcmp(text, twin->at, twin->n), 0); // assert_memory_equal prints each byte
    assert_int_equal(lorac_table_row(&row, t, last, &err), LORAC_OK);
    assert_int_equal(row.line, last + 2);
    assert_int_equal(row.cells[0].n, strlen(cases[c].twin) - 4);
    assert_memory_equal(row.cells[0].at, cases[c].twin, row.cells[0].n);
    lorac_row_free(&row);
    lorac_table_close(t);
}

static void it_has_the_text_of_its_twin_wherever_a_block_ends(void **state)
{
    (void)state;
    for (size_t c = 0; c < N_CASES; c++) {
        for (size_t shift = 0; shift < strlen(cases[c].twin); shift++) { // each place of a line
            struct lorac_buf other = {0};
            struct lorac_buf twin = {0};
            write_lines(&other, c, shift);
            write_twin(&twin, c, shift);
            expect_twins(&other, &twin, c, NULL);
            lorac_buf_free(&other);
            lorac_buf_free(&twin);
        }
    }
}

/* What was read of the file was let go of meanwhile. */
static void so_has_a_file_of_which_little_is_in_memory(void **state)
{
    (void)state;
    char path[LORAC_PATH];
    lorac_path_in(path, lorac_scratch_dir(), "t.csv");
    size = LORAC_MAP_READ + LORAC_DECODE_BLOCK;
    for (size_t c = 0; c < N_CASES; c++) {
        struct lorac_buf other = {0};
        struct lorac_buf twin = {0};
        write_lines(&other, c, 0);
        write_twin(&twin, c, 0);
        assert_int_equal(lorac_file_write(path, other.at, other.n, NULL), LORAC_OK);
        expect_twins(&other, &twin, c, path);
        lorac_buf_free(&other);
        lorac_buf_free(&twin);
    }
    size = 3 * LORAC_DECODE_BLOCK;
    assert_int_equal(lorac_file_remove(path, NULL), LORAC_OK);
}

/* Its only character of several bytes is half in one look and half in the next. */
static void one_in_utf8_is_not_taken_for_latin_1(void **state)
{
    (void)state;
    const struct lorac_table_format f = format_of(0);
    struct lorac_table *t = NULL;
    struct lorac_err err = {0};
    struct lorac_buf b = {0};
    lorac_buf_str(&b, "t\n");
    while (b.n < LORAC_MAP_READ - 1) {
        lorac_buf_str(&b, "a");
    }
    lorac_buf_str(&b, "\xC3\xA9\n");
    assert_int_equal(lorac_table_parse(&t, b.at, b.n, "t.csv", &f, &err), LORAC_EFORMAT);
    assert_string_equal(err.text,
                        "t.csv: is UTF-8, but data.format.encoding says latin-1; write utf-8");
    lorac_buf_free(&b);
}

static void a_damaged_character_has_its_place_however_far_behind(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        const char *want;
    } damage[N_CASES] = {
        {"a\xE9\x81", 3,
         "3: byte 0x81 is no character of Latin-1, but one of Windows-1252; write "
         "data.format.encoding: windows-1252"},
        {"a\xE9\x81", 3, "3: byte 0x81 is no character of Windows-1252"},
        {"a\0\x3D\xD8\0\xDE\0\xDE", 8, "3: half a character of UTF-16, expected a whole one"},
        {"\0a\xD8\x3D\xDE\0\xDE\0", 8, "3: half a character of UTF-16, expected a whole one"},
    };
    for (size_t c = 0; c < N_CASES; c++) {
        const struct lorac_table_format f = format_of(c);
        struct lorac_buf b = {0};
        struct lorac_table *t = NULL;
        struct lorac_err err = {0};
        char want[160];
        write_lines(&b, c, 0);
        lorac_buf_add(&b, damage[c].bytes, damage[c].n);
        (void)snprintf(want, sizeof want, "t.csv:%zu:%s", lines_of(c) + 2, damage[c].want);
        assert_int_equal(lorac_table_parse(&t, b.at, b.n, "t.csv", &f, &err), LORAC_EFORMAT);
        assert_null(t);
        assert_string_equal(err.text, want);
        lorac_buf_free(&b);
    }
}

static void a_text_that_cannot_be_written_down_is_said(void **state)
{
    (void)state;
    char dir[] = "test_encoding.XXXXXX";
    char begin[160];
    const struct lorac_table_format f = format_of(0);
    struct lorac_buf b = {0};
    write_lines(&b, 0, 0);
    assert_non_null(mkdtemp(dir));
    assert_int_equal(setenv("TMPDIR", dir, 1), 0);
    (void)snprintf(
        begin, sizeof begin,
        "t.csv: its text as UTF-8 goes to a file in %s (TMPDIR sets another folder): ", dir);
    long n = 0;
    for (bool met = true; met; n++) {
        struct lorac_table *t = NULL;
        struct lorac_err err = {0};
        lorac_sys_fail_with(n, ENOSPC);
        enum lorac_status st = lorac_table_parse(&t, b.at, b.n, "t.csv", &f, &err);
        met = lorac_sys_fail_left() < 0;
        lorac_sys_fail_after(-1);
        assert_int_equal(st, met ? LORAC_EIO : LORAC_OK);
        assert_int_equal(!t, met);
        assert_true(!met || strncmp(err.text, begin, strlen(begin)) == 0);
        assert_true(!met || strstr(err.text, ": No space left on device"));
        assert_true(lorac_dir_is_empty(dir));
        lorac_table_close(t);
    }
    assert_int_equal(n, 8); // make it, unlink it, four blocks, map it; and none failed
    assert_int_equal(lorac_dir_remove(dir, NULL), LORAC_OK);
    lorac_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_has_the_text_of_its_twin_wherever_a_block_ends),
        cmocka_unit_test(so_has_a_file_of_which_little_is_in_memory),
        cmocka_unit_test(one_in_utf8_is_not_taken_for_latin_1),
        cmocka_unit_test(a_damaged_character_has_its_place_however_far_behind),
        cmocka_unit_test(a_text_that_cannot_be_written_down_is_said),
    };
    return cmocka_run_group_tests_name("encoding", tests, NULL, NULL);
}
