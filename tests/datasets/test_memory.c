/*
 * Memory and the number of rows. What is promised: a table is read and cut into batches with at
 * most 40 bytes more for each row more, whatever the row holds and in whatever encoding, and with
 * at most 16 MiB more for ids that are kept. Measured is the peak of a process of its own, mapped
 * pages included.
 */
#define _DEFAULT_SOURCE // wait4
#include "tests/datasets/bytes.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FEW = 20000, MANY = 200000, A_ROW = 40, FOR_IDS = 16 << 20 };
enum { NOISE = 2 << 20, CACHE = 64 << 10 }; // what allocators round up; ids that are not kept

static struct lorac_tokenizer *bytes;
static char path[256];

static struct lorac_table_format format = {.delimiter = ',', .quote = '"', .header = true};

static void write_table(size_t rows)
{
    const char *here = format.encoding == LORAC_ENCODING_LATIN1 ? "\xED\xE7\xED" : "here";
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "text,label\n");
    for (size_t i = 0; i < rows; i++) {
        fprintf(f, "\"row %zu, of %zu rows that are all as short as this one %s is\",%zu\n", i,
                rows, here, i % 7);
    }
    assert_int_equal(fclose(f), 0);
}

/* Everything up to the first batch of the second epoch's order; 0: it went well. */
static int use_table(size_t cache)
{
    struct lorac_dataset_options o = lorac_dataset_options_default();
    struct lorac_loader_options rows = lorac_loader_options_default();
    struct lorac_table *t = NULL;
    struct lorac_dataset *d = NULL;
    struct lorac_loader *l = NULL;
    o.prompt = "{text}: ";
    o.completion = "{label}";
    if (cache) { o.cache = cache; }
    enum lorac_status st = lorac_table_open(&t, path, &format, NULL);
    if (!st) { st = lorac_dataset_open(&d, t, bytes, &o, NULL); }
    if (!st) { st = lorac_loader_open(&l, d, &rows, NULL); }
    return st || !lorac_loader_count(l, 1);
}

/* The peak of a process that uses a table of so many rows, in bytes. */
static size_t peak_of(size_t rows, size_t cache)
{
    struct rusage used;
    int ended = 1;
    write_table(rows);
    pid_t child = fork();
    if (child == 0) { _exit(use_table(cache)); }
    assert_true(child > 0);
    assert_int_equal(wait4(child, &ended, 0, &used), child);
    assert_int_equal(ended, 0);
    return (size_t)used.ru_maxrss << 10;
}

static void expect_flat(size_t cache, size_t more)
{
    size_t few = peak_of(FEW, cache);
    size_t many = peak_of(MANY, cache);
    size_t limit = (MANY - FEW) * A_ROW + NOISE + more;
    if (many > few + limit) {
        fail_msg("%d rows take %zu KiB, %d take %zu: %zu more, expected at most %zu", FEW,
                 few >> 10, MANY, many >> 10, (many - few) >> 10, limit >> 10);
    }
}

static void a_row_takes_a_few_bytes(void **state)
{
    (void)state;
    expect_flat(CACHE, 0);
}

static void a_row_of_another_encoding_takes_no_more(void **state)
{
    (void)state;
    format.encoding = LORAC_ENCODING_LATIN1;
    expect_flat(CACHE, 0);
    format.encoding = LORAC_ENCODING_UTF8;
}

static void ids_are_kept_up_to_a_limit(void **state)
{
    (void)state;
    expect_flat(0, FOR_IDS); // as the options are by default
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_takes_a_few_bytes),
        cmocka_unit_test(a_row_of_another_encoding_takes_no_more),
        cmocka_unit_test(ids_are_kept_up_to_a_limit),
    };
    const char *dir = getenv("TMPDIR");
    bytes = open_bytes();
    (void)snprintf(path, sizeof path, "%s/rows.csv", dir ? dir : "/tmp");
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)remove(path);
    lorac_tokenizer_free(bytes);
    return failed;
}
