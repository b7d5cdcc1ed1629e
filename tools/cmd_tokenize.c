/* cmd_tokenize.c - `lorac tokenize`: text to ids and back. */
#include "tools/verbs.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum lorac_status read_ids(struct lorac_ids *ids, const char *text, struct lorac_err *err)
{
    for (const char *c = text + strspn(text, " ,\t\r\n[]"); *c; c += strspn(c, " ,\t\r\n[]")) {
        char *end = NULL;
        errno = 0;
        long v = strtol(c, &end, 10);
        if (end == c || errno || v < 0 || v > INT32_MAX) {
            return lorac_fail(err, LORAC_EUSER,
                              "'%.20s' is no token id; ids are whole numbers, 1,2,3", c);
        }
        enum lorac_status st = lorac_ids_add(ids, (int32_t)v, err);
        if (st) { return st; }
        c = end + strspn(end, " \t\r\n]");
        size_t next = *c == ',' ? 1 + strspn(c + 1, " \t\r\n") : 0;
        if (next && c[next] == ',') {
            return lorac_fail(err, LORAC_EUSER, "'%.20s': an id is missing between two commas", c);
        }
    }
    return LORAC_OK;
}

static int decode(const struct lorac_tokenizer *t, const struct lorac_buf *input, bool as_json,
                  bool skip_special, struct lorac_err *err)
{
    struct lorac_ids ids = {0};
    struct lorac_buf text = {0};
    lorac_buf_str(&text, "");
    enum lorac_status st = read_ids(&ids, input->at ? input->at : "", err);
    if (!st) { st = lorac_decode(&text, t, ids.at, ids.n, skip_special, err); }
    int code = 0;
    if (st) {
        code = complain(err);
    } else if (as_json) {
        struct out j = {0};
        out_text(&j, "text", text.at, text.n);
        code = out_print(&j);
    } else {
        (void)fwrite(text.at, 1, text.n, stdout);
        putchar('\n');
    }
    lorac_ids_free(&ids);
    lorac_buf_free(&text);
    return code;
}

static int encode(const struct lorac_tokenizer *t, const struct lorac_buf *input, bool as_json,
                  bool bare, struct lorac_err *err)
{
    struct lorac_ids ids = {0};
    struct lorac_text text = {input->at ? input->at : "", input->n, true};
    unsigned flags = bare ? LORAC_ENCODE_ALONE : LORAC_ENCODE_BEGINS | LORAC_ENCODE_ENDS;
    enum lorac_status st = lorac_encode(&ids, t, &text, 1, flags, err);
    int code = 0;
    if (st) {
        code = complain(err);
    } else if (as_json) {
        struct out j = {0};
        out_ids(&j, "ids", ids.at, ids.n);
        out_begin(&j, "tokens", "[]");
        for (size_t i = 0; i < ids.n; i++) {
            const char *token = lorac_token_text(t, ids.at[i]);
            out_str(&j, NULL, token ? token : "");
        }
        out_end(&j);
        code = out_print(&j);
    } else {
        for (size_t i = 0; i < ids.n; i++) {
            printf("%s%d", i ? " " : "", ids.at[i]);
        }
        putchar('\n');
    }
    lorac_ids_free(&ids);
    return code;
}

static int run(const struct args *a)
{
    struct lorac_err err = {0};
    struct lorac_tokenizer *t = NULL;
    struct lorac_buf input = {0};
    const char *given = a->n_positional ? a->positional[0] : "-";
    char *dir = NULL;
    enum lorac_status st = find_folder(&dir, "--model", args_text(a, "--model", ""), &err);
    if (!st) {
        st = lorac_tokenizer_open(&t, dir, &err);
        if (st) { lorac_hub_explain(dir, &err); }
    }
    if (!st && strcmp(given, "-") == 0) {
        st = read_text(&input, "-", &err);
    } else {
        lorac_buf_str(&input, given);
    }
    bool as_json = args_has(a, "--json");
    int code = 0;
    if (st) {
        code = complain(&err);
    } else if (args_has(a, "--decode")) {
        code = decode(t, &input, as_json, args_has(a, "--skip-special"), &err);
    } else {
        code = encode(t, &input, as_json, args_has(a, "--bare"), &err);
    }
    lorac_buf_free(&input);
    lorac_tokenizer_free(t);
    lorac_mem_free(dir);
    return code;
}

static const struct option options[] = {
    {"--model", "DIR", "the folder with tokenizer.json", true, false},
    {"--decode", NULL, "the other way: TEXT is a list of ids", false, false},
    {"--bare", NULL, "without the tokens that begin and end a text (BOS, EOS)", false, false},
    {"--skip-special", NULL, "leave special tokens out of the decoded text", false, false},
    {"--json", NULL, "print one JSON object", false, false},
    {0},
};

const struct verb verb_tokenize = {
    .name = "tokenize",
    .usage = "--model DIR [--decode] [TEXT|-]",
    .summary = "turn text into token ids, and back",
    .about = "  lorac tokenize --model DIR 'Hello there'\n"
             "  lorac tokenize --model DIR --decode '1 422 17'\n\n"
             "Without TEXT, or with -, standard input is read.\n",
    .options = options,
    .max_positional = 1,
    .run = run,
};
