/* tokens.c - lorac_bench tokenize: bytes of text a second, on one core. */
#include "tools/bench/bench.h"

#include <stdio.h>
#include <string.h>

struct tokens {
    struct lorac_tokenizer *tokenizer;
    struct lorac_buf text; // of all files
    struct lorac_ids ids;
    size_t rounds, tokens;
    struct series speed; // bytes a second
};

/* Every line as a text of its own, as rows of a table are, by an encoder that has met none. */
static enum lorac_status round_of(struct tokens *x, struct lorac_err *err)
{
    struct lorac_encoder *e = NULL;
    double begin = lorac_clock();
    enum lorac_status st = lorac_encoder_for(&e, x->tokenizer, err);
    x->tokens = 0;
    for (const char *at = x->text.at, *end = at + x->text.n; at < end && !st;) {
        const char *line = memchr(at, '\n', (size_t)(end - at));
        struct lorac_text text = {.at = at, .n = (size_t)((line ? line : end) - at)};
        x->ids.n = 0;
        st = lorac_encoder_encode(&x->ids, e, &text, 1, LORAC_ENCODE_ALONE, err);
        x->tokens += x->ids.n;
        at = line ? line + 1 : end;
    }
    series_add(&x->speed, (double)x->text.n / (lorac_clock() - begin));
    lorac_encoder_free(e);
    return st;
}

static enum lorac_status measure(struct tokens *x, const struct args *a, struct lorac_err *err)
{
    char *dir = NULL;
    enum lorac_status st = find_folder(&dir, "--model", args_text(a, "--model", ""), err);
    if (!st) { st = lorac_tokenizer_open(&x->tokenizer, dir, err); }
    for (size_t i = 0; i < a->n_positional && !st; i++) {
        struct lorac_buf file = {0};
        st = read_text(&file, a->positional[i], err);
        if (!st) { lorac_buf_add(&x->text, file.at, file.n); }
        lorac_buf_free(&file);
    }
    if (!st && x->text.no_memory) { st = lorac_fail(err, LORAC_ENOMEM, "no memory"); }
    for (size_t i = 0; i < x->rounds && !st; i++) {
        st = round_of(x, err);
    }
    lorac_mem_free(dir);
    return st;
}

static void tell_json(const struct tokens *x)
{
    struct out j = {0};
    char cpu[64];
    lorac_machine_cpu(cpu);
    out_str(&j, "cpu", cpu);
    out_count(&j, "rounds", x->rounds);
    out_count(&j, "bytes", x->text.n);
    out_count(&j, "tokens", x->tokens);
    out_series(&j, "bytes_per_second", &x->speed);
    (void)out_print(&j);
}

static void tell(const struct tokens *x)
{
    char bytes[32];
    char count[32];
    printf("%s in %s tokens, one core, median of %zu rounds (least - most)\n",
           show_bytes(bytes, x->text.n), show_count(count, x->tokens), x->rounds);
    printf("%.2f MB/s (%.2f - %.2f)\n", 1e-6 * series_median(&x->speed),
           1e-6 * series_least(&x->speed), 1e-6 * series_most(&x->speed));
}

static int run(const struct args *a)
{
    static struct tokens x;
    struct lorac_err err = {0};
    int threads = 0;
    enum lorac_status st = rounds_of(&x.rounds, &threads, a, &err);
    if (!st) { st = measure(&x, a, &err); }
    if (!st) { (args_has(a, "--json") ? tell_json : tell)(&x); }
    lorac_ids_free(&x.ids);
    lorac_buf_free(&x.text);
    lorac_tokenizer_free(x.tokenizer);
    return bench_end(st, &err);
}

static const struct option options[] = {
    {"--model", "DIR", "the folder with tokenizer.json", true, false},
    {"--rounds", "1..99", "how often it is measured (default: 5)", false, false},
    {"--json", NULL, "print JSON", false, false},
    {0},
};
const struct verb verb_bench_tokenize = {
    .program = "lorac_bench",
    .name = "tokenize",
    .usage = "--model DIR FILE...",
    .summary = "bytes of text a second on one core",
    .about = "Every line is a text of its own, as rows of a table are; each round begins with an "
             "encoder that has met no word yet.\n\n"
             "  lorac_bench tokenize --model DIR book.txt",
    .options = options,
    .min_positional = 1,
    .max_positional = MAX_GIVEN,
    .run = run,
};
