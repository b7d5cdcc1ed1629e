/* cmd_tokenizer.c - `lorac tokenizer train`: a byte-level BPE learned from text files. */
#include "tools/verbs.h"

#include <stdio.h>
#include <string.h>

static void show_progress(void *who, const char *doing, double done)
{
    status_share(who, doing, done);
}

static void print_text(const char *dir, const struct lorac_tokenizer_report *r, double seconds)
{
    char entries[32];
    char bytes[32];
    char pieces[32];
    char distinct[32];
    char time[32];
    printf("%s: %s entries, %zu merges, learned in %s from %s in %zu document%s (%s pieces, %s "
           "distinct); %.2f bytes a token there\n",
           dir, show_count(entries, r->entries), r->merges, show_time(time, seconds),
           show_bytes(bytes, r->bytes), r->documents, r->documents == 1 ? "" : "s",
           show_count(pieces, r->pieces), show_count(distinct, r->distinct),
           (double)r->bytes / (double)r->tokens);
}

static int print_json(const char *dir, const struct lorac_tokenizer_report *r, double seconds)
{
    struct out j = {0};
    out_str(&j, "tokenizer", dir);
    out_count(&j, "entries", r->entries);
    out_count(&j, "merges", r->merges);
    out_count(&j, "bytes", r->bytes);
    out_count(&j, "documents", r->documents);
    out_count(&j, "pieces", r->pieces);
    out_count(&j, "distinct", r->distinct);
    out_count(&j, "tokens", r->tokens);
    out_real(&j, "seconds", seconds);
    return out_print(&j);
}

static enum lorac_status read_options(struct lorac_tokenizer_options *o, const char *specials[],
                                      const struct args *a, struct lorac_err *err)
{
    *o = (struct lorac_tokenizer_options){
        .files = a->positional + 1,
        .n_files = a->n_positional - 1,
        .specials = specials,
        .bos = args_text(a, "--bos", NULL),
        .eos = args_text(a, "--eos", NULL),
        .pad = args_text(a, "--pad", NULL),
        .separator = args_text(a, "--separator", NULL),
        .pattern = args_text(a, "--pattern", NULL),
        .min_frequency = 2,
        .allow_fewer = args_has(a, "--allow-fewer"),
    };
    for (const char *s = args_each(a, "--special", 0); s;
         s = args_each(a, "--special", o->n_specials)) {
        specials[o->n_specials++] = s;
    }
    enum lorac_status st = args_count(&o->vocab_size, a, "--vocab-size", err);
    if (!st) { st = args_count(&o->min_frequency, a, "--min-frequency", err); }
    if (!st) { st = args_count(&o->max_length, a, "--max-length", err); }
    return st;
}

static int run(const struct args *a)
{
    struct lorac_err err = {0};
    struct lorac_tokenizer_options o;
    struct lorac_tokenizer_report report = {0};
    const char *specials[MAX_GIVEN];
    struct status_line line;
    const char *dir = args_text(a, "--out", "");
    if (strcmp(a->positional[0], "train") != 0 || a->n_positional < 2) {
        fprintf(stderr, "lorac: tokenizer takes train FILE...\n");
        return EXIT_USAGE;
    }
    if (read_options(&o, specials, a, &err)) {
        (void)complain(&err);
        return EXIT_USAGE;
    }
    status_begin(&line);
    o.progress = show_progress;
    o.who = &line;
    const double begin = lorac_clock();
    enum lorac_status st = lorac_tokenizer_train(&report, dir, &o, &err);
    status_clear(&line);
    if (st) { return complain(&err); }
    if (args_has(a, "--json")) { return print_json(dir, &report, lorac_clock() - begin); }
    print_text(dir, &report, lorac_clock() - begin);
    return 0;
}

static const struct option options[] = {
    {"--out", "DIR", "the folder to write: tokenizer.json, tokenizer_config.json", true, false},
    {"--vocab-size", "N", "entries: special tokens, the 256 bytes, merges", true, false},
    {"--special", "TOKEN", "a special token; ids are 0, 1, ... as given", false, true},
    {"--bos", "TOKEN", "the special token that begins a text", false, false},
    {"--eos", "TOKEN", "the special token that ends a text", false, false},
    {"--pad", "TOKEN", "the special token that pads", false, false},
    {"--separator", "TEXT", "stands between documents, is not trained on", false, false},
    {"--min-frequency", "N", "merge only what occurs so often (default: 2)", false, false},
    {"--pattern", "REGEX", "what cuts text into pieces (default: GPT-2's)", false, false},
    {"--max-length", "N", "tokens that the model takes, for transformers", false, false},
    {"--allow-fewer", NULL, "take fewer entries where the text gives no more", false, false},
    {"--json", NULL, "print one JSON object", false, false},
    {0},
};

const struct verb verb_tokenizer = {
    .name = "tokenizer",
    .usage = "train --out DIR --vocab-size N [options] FILE...",
    .summary = "learn a tokenizer from text files",
    .about =
        "  lorac tokenizer train --out tok --vocab-size 4096 \\\n"
        "    --eos '<|endoftext|>' a.txt b.txt\n\n"
        "A byte-level BPE: no merge crosses the border of two pieces, which the pattern finds, "
        "and any text has tokens. transformers' AutoTokenizer loads the folder and gives the "
        "same ids (but beside the config.json of a qwen2 model, where it takes Qwen2's pattern "
        "for any tokenizer's). --bos, --eos and --pad are special tokens, too, behind those of "
        "--special. They get their names here; no text is given a BOS or EOS by itself. Special "
        "tokens in the files cut them into documents, as the separator does, and are not trained "
        "on. A pattern is written as for Hugging Face tokenizers: a Split with behaviour "
        "Isolated, then ByteLevel. Memory grows with the number of distinct pieces, not with the "
        "text.\n",
    .options = options,
    .words = "train",
    .min_positional = 1,
    .max_positional = MAX_GIVEN,
    .run = run,
};
