/* cmd_score.c - `lorac score`: how likely is a text? */
#include "tools/verbs.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CONTEXT = 2048 };

/* Each token is scored once, with at least half a context before it where there is that much; of a
 * chat (`answers`, a byte a token, unless NULL) those of the answers. */
static enum lorac_status score(double *nll, struct bench *b, const struct lorac_ids *ids,
                               const char *answers, size_t context, struct lorac_err *err)
{
    size_t window = ids->n < context ? ids->n : context;
    struct lorac_pass_options o = {.max_rows = window, .max_positions = window};
    struct lorac_batch *batch = NULL;
    struct lorac_pass *pass = NULL;
    float *part = lorac_mem_new(window, sizeof *part);
    enum lorac_status st = LORAC_OK;
    if (!part) { st = lorac_fail(err, LORAC_ENOMEM, "no memory to score"); }
    if (!st) { st = lorac_batch_new(&batch, window, 1, window, err); }
    if (!st) { st = lorac_pass_new(&pass, b->model, bench_socket(b), &o, err); }
    for (size_t done = 1; done < ids->n && !st;) {
        size_t begin = done == 1 ? 0 : done - window / 2;
        size_t end = ids->n - begin < window ? ids->n : begin + window;
        lorac_batch_clear(batch);
        (void)lorac_batch_add(batch, ids->at + begin, end - begin, -1);
        for (size_t i = done; i < end; i++) {
            if (!answers || answers[i]) { lorac_batch_score(batch, i - 1 - begin, ids->at[i]); }
        }
        st = lorac_pass_forward(pass, batch, NULL, err);
        if (st) { break; }
        lorac_pass_loss(pass, batch, part, false);
        for (size_t t = 0; t < batch->T; t++) {
            *nll += (double)part[t];
        }
        done = end;
    }
    lorac_pass_free(pass);
    lorac_batch_free(batch);
    lorac_mem_free(part);
    return st;
}

/* Logits of every row as tensor "logits" (N,V) of a safetensors file. */
static enum lorac_status write_logits(const char *path, struct bench *b,
                                      const struct lorac_ids *ids, struct lorac_err *err)
{
    size_t V = b->model->config.V;
    size_t n = 0;
    struct lorac_pass_options o = {.max_rows = ids->n, .max_positions = ids->n};
    struct lorac_batch *batch = NULL;
    struct lorac_pass *pass = NULL;
    float *logits = lorac_mul(ids->n, V, &n) ? lorac_mem_new(n, sizeof *logits) : NULL;
    enum lorac_status st = LORAC_OK;
    if (!logits) {
        st = lorac_fail(err, LORAC_ENOMEM, "no memory for %zu x %zu logits", ids->n, V);
    }
    if (!st) { st = lorac_batch_new(&batch, ids->n, 1, 1, err); }
    if (!st) { st = lorac_pass_new(&pass, b->model, bench_socket(b), &o, err); }
    if (!st) {
        lorac_batch_clear(batch);
        (void)lorac_batch_add(batch, ids->at, ids->n, -1);
        for (size_t i = 0; i < ids->n; i++) {
            lorac_batch_want_logits(batch, i);
        }
        st = lorac_pass_forward(pass, batch, NULL, err);
    }
    if (!st) {
        lorac_pass_logits(pass, batch, logits);
        struct lorac_tensor_spec spec = {
            .name = "logits", .dtype = LORAC_F32, .n_dims = 2, .dims = {ids->n, V}, .data = logits};
        st = lorac_safetensors_write(path, &spec, 1, NULL, 0, NULL, NULL, err);
    }
    lorac_pass_free(pass);
    lorac_batch_free(batch);
    lorac_mem_free(logits);
    return st;
}

/* The conversation of a file. */
static enum lorac_status read_chat(struct lorac_ids *ids, struct lorac_buf *answers,
                                   const struct bench *b, const char *path, struct lorac_err *err)
{
    struct form form = {0};
    struct lorac_messages m = {0};
    struct lorac_buf json = {0};
    enum lorac_status st = read_text(&json, path, err);
    if (!st) { st = lorac_messages_read(&m, json.at ? json.at : "", json.n, path, err); }
    if (!st) { st = bench_form(&form, b, err); }
    if (!st) {
        st = lorac_chat_answers(ids, answers, form.chat, m.at, m.n, false, form_day(&form), err);
        if (st) { lorac_err_prefix(err, "%s: ", path); }
    }
    form_close(&form);
    lorac_messages_free(&m);
    lorac_buf_free(&json);
    return st;
}

static enum lorac_status read_input(struct lorac_ids *ids, struct lorac_buf *answers,
                                    const struct bench *b, const struct args *a,
                                    struct lorac_err *err)
{
    const char *list = args_text(a, "--ids", NULL);
    const char *chat = args_text(a, "--chat", NULL);
    struct lorac_buf buf = {0};
    if (list) { return read_ids(ids, list, err); }
    if (chat) { return read_chat(ids, answers, b, chat, err); }
    enum lorac_status st = read_text(&buf, args_text(a, "--text", ""), err);
    struct lorac_text text = {buf.at ? buf.at : "", buf.n, false};
    if (!st) { st = lorac_encode(ids, b->tokenizer, &text, 1, LORAC_ENCODE_BEGINS, err); }
    lorac_buf_free(&buf);
    return st;
}

static int run(const struct args *a)
{
    struct lorac_err err = {0};
    struct bench b = {0};
    struct lorac_ids ids = {0};
    struct lorac_buf answers = {0}; // of a chat: which tokens are scored
    size_t context = CONTEXT;
    double nll = 0.0;
    const char *logits = args_text(a, "--logits", NULL);
    if (args_has(a, "--text") + args_has(a, "--ids") + args_has(a, "--chat") != 1) {
        fprintf(stderr, "lorac: score needs one of --text FILE, --chat FILE and --ids LIST\n");
        return EXIT_USAGE;
    }
    enum lorac_status st = args_count(&context, a, "--context", &err);
    if (!st) { st = bench_open(&b, a, !args_has(a, "--ids"), &err); }
    if (!st) { st = read_input(&ids, &answers, &b, a, &err); }
    if (!st && ids.n < 2) {
        st = lorac_fail(&err, LORAC_EUSER, "%zu tokens: at least two are needed to score one",
                        ids.n);
    }
    size_t most = st ? 0 : b.model->config.max_positions;
    if (!st && context > most && args_has(a, "--context")) {
        st = lorac_fail(&err, LORAC_EUSER, "--context %zu: the model reads at most %zu tokens",
                        context, most);
    }
    if (!st && context > most) { context = most; }
    if (!st && context < 2) { st = lorac_fail(&err, LORAC_EUSER, "--context must be at least 2"); }
    if (!st && logits && ids.n > context) {
        st = lorac_fail(&err, LORAC_EUSER, "--logits needs all %zu tokens in one context of %zu",
                        ids.n, context);
    }
    if (!st) { st = score(&nll, &b, &ids, answers.at, context, &err); }
    if (!st && !isfinite(nll)) {
        st = lorac_fail(&err, LORAC_EFORMAT,
                        "the likelihood is not finite: are the weights or the adapter "
                        "damaged?");
    }
    if (!st && logits) { st = write_logits(logits, &b, &ids, &err); }
    int code = 0;
    size_t scored = ids.n && !answers.at ? ids.n - 1 : 0;
    for (size_t i = 1; i < answers.n; i++) {
        scored += answers.at[i] != 0;
    }
    double mean = nll / (double)(scored ? scored : 1);
    if (st) {
        code = complain(&err);
    } else if (args_has(a, "--json")) {
        struct out j = {0};
        out_count(&j, "tokens", scored);
        out_real(&j, "nll", nll);
        out_real(&j, "mean_nll", mean);
        out_real(&j, "perplexity", exp(mean));
        code = out_print(&j);
    } else {
        printf(answers.at ? "tokens       %zu   (of the answers; %zu in all)\n"
                          : "tokens       %zu   (scored; the first of %zu has nothing before it)\n",
               scored, ids.n);
        printf("nll          %.6f\nmean nll     %.6f\nperplexity   %.6g\n", nll, mean, exp(mean));
    }
    lorac_ids_free(&ids);
    lorac_buf_free(&answers);
    bench_close(&b);
    return code;
}

static const struct option options[] = {
    MODEL_OPTIONS,
    {"--text", "FILE", "the text; - reads standard input", false, false},
    {"--chat", "FILE",
     "a conversation instead, [{\"role\", \"content\"}, ...] in JSON: its answers are scored",
     false, false},
    {"--ids", "LIST", "token ids instead: 1,15,7", false, false},
    {"--context", "N", "tokens at a time (default: 2048, or what the model can)", false, false},
    {"--logits", "FILE", "also write all logits (N,V) as a safetensors file", false, false},
    {"--json", NULL, "print one JSON object", false, false},
    {0},
};

const struct verb verb_score = {
    .name = "score",
    .usage = "--model DIR [--adapter DIR] --text FILE | --chat FILE | --ids LIST",
    .summary = "likelihood and perplexity of a text",
    .about =
        "  lorac score --model DIR --text story.txt\n"
        "  lorac score --model DIR --adapter DIR --ids 1,15,7 --logits logits.safetensors\n\n"
        "A chat is written by the model's chat template, and of its tokens those of the "
        "assistant's turns are scored, the one that ends a turn included. "
        "The text begins with the model's BOS token, where its tokenizer puts one. A text longer "
        "than the context is scored in windows that overlap by half.\n",
    .options = options,
    .run = run,
};
