/* cmd_score.c - `lorac score`: how likely is a text? */
#include "tools/verbs.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CONTEXT = 2048, ROWS = 1024 };

/* What is scored, and how it came out. */
struct scored {
    struct bench b;
    struct lorac_ids ids;
    struct lorac_buf answers; // of a chat: which tokens are scored
    size_t context;           // tokens at a time
    bool masked;              // an encoder: each token is masked in turn
    int32_t mask;             // its mask token
    size_t begins, ends;      // of the ids, those that frame the text in front and behind
    size_t n;                 // tokens scored
    double nll;               // of all
};

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

/* Token i of the text's own `n`, masked in a copy of at most `context` tokens, it in the middle of
 * them and framed as the whole is. */
static void add_masked(struct lorac_batch *batch, const struct scored *s, size_t i, size_t n)
{
    size_t frame = s->begins + s->ends;
    size_t most = lorac_min(n, s->context - frame); // own tokens in the copy
    size_t from = lorac_min(i > most / 2 ? i - most / 2 : 0, n - most);
    int32_t *ids = batch->ids + batch->N;
    size_t row = batch->N + s->begins + i - from;
    (void)lorac_batch_add(batch, s->ids.at + from, frame + most, -1);
    memcpy(ids, s->ids.at, s->begins * sizeof *ids);
    memcpy(ids + s->begins + most, s->ids.at + s->ids.n - s->ends, s->ends * sizeof *ids);
    batch->ids[row] = s->mask;
    lorac_batch_score(batch, row, s->ids.at[s->begins + i]);
}

/* The pseudo-likelihood of Salazar et al. (2020): as many masked copies at once as there is room
 * for. */
static enum lorac_status score_masked(struct scored *s, struct lorac_err *err)
{
    size_t length = lorac_min(s->ids.n, s->context);
    size_t copies = lorac_min(length < ROWS ? ROWS / length : 1, s->n);
    struct lorac_pass_options o = {.max_rows = copies * length, .max_positions = length};
    struct lorac_batch *batch = NULL;
    struct lorac_pass *pass = NULL;
    float *part = lorac_mem_new(copies, sizeof *part);
    enum lorac_status st = LORAC_OK;
    if (!part) { st = lorac_fail(err, LORAC_ENOMEM, "no memory to score"); }
    if (!st) { st = lorac_batch_new(&batch, o.max_rows, copies, copies, err); }
    if (!st) { st = lorac_pass_new(&pass, s->b.model, bench_socket(&s->b), &o, err); }
    for (size_t i = 0; i < s->n && !st;) {
        lorac_batch_clear(batch);
        while (i < s->n && lorac_batch_fits(batch, length, 1)) {
            add_masked(batch, s, i++, s->n);
        }
        st = lorac_pass_forward(pass, batch, NULL, err);
        if (st) { break; }
        lorac_pass_loss(pass, batch, part, false);
        for (size_t t = 0; t < batch->T; t++) {
            s->nll += (double)part[t];
        }
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
        st = form_answers(ids, answers, &form, &m, err);
        if (st) { lorac_err_prefix(err, "%s: ", path); }
    }
    form_close(&form);
    lorac_messages_free(&m);
    lorac_buf_free(&json);
    return st;
}

/* An encoder's ids are framed; those of --ids as they are given. */
static enum lorac_status read_input(struct scored *s, const struct args *a, struct lorac_err *err)
{
    const char *list = args_text(a, "--ids", NULL);
    const char *chat = args_text(a, "--chat", NULL);
    unsigned flags = LORAC_ENCODE_BEGINS | (s->masked ? LORAC_ENCODE_ENDS : 0U);
    struct lorac_buf buf = {0};
    if (list) { return read_ids(&s->ids, list, err); }
    if (chat && s->masked) {
        return lorac_fail(err, LORAC_EUSER,
                          "--chat: a %s is an encoder, which answers nobody; it scores --text and "
                          "--ids",
                          lorac_arch_type(s->b.model->config.arch));
    }
    if (chat) { return read_chat(&s->ids, &s->answers, &s->b, chat, err); }
    enum lorac_status st = read_text(&buf, args_text(a, "--text", ""), err);
    struct lorac_text text = {buf.at ? buf.at : "", buf.n, false};
    if (!st) { st = lorac_encode(&s->ids, s->b.tokenizer, &text, 1, flags, err); }
    lorac_buf_free(&buf);
    return st;
}

/* How many tokens are scored, and of an encoder which are not. */
static enum lorac_status count(struct scored *s, struct lorac_err *err)
{
    const struct lorac_ids *ids = &s->ids;
    if (!s->masked && ids->n < 2) {
        return lorac_fail(err, LORAC_EUSER, "%zu tokens: at least two are needed to score one",
                          ids->n);
    }
    if (s->masked) {
        const struct lorac_ids *front = lorac_tokenizer_before(s->b.tokenizer);
        const struct lorac_ids *back = lorac_tokenizer_after(s->b.tokenizer);
        size_t n = lorac_ids_common(ids->at, ids->n, front->at, front->n);
        s->begins = n == front->n ? n : 0;
        if (back->n <= ids->n - s->begins) {
            n = lorac_ids_common(ids->at + ids->n - back->n, back->n, back->at, back->n);
            s->ends = n == back->n ? n : 0;
        }
        s->n = ids->n - s->begins - s->ends;
        return s->n
                   ? LORAC_OK
                   : lorac_fail(err, LORAC_EUSER,
                                "%zu tokens, all of them the tokenizer's own: at least one more is "
                                "needed to score one",
                                ids->n);
    }
    s->n = s->answers.at ? 0 : ids->n - 1;
    for (size_t i = 1; i < s->answers.n; i++) {
        s->n += s->answers.at[i] != 0;
    }
    return LORAC_OK;
}

static enum lorac_status check_context(struct scored *s, const struct args *a,
                                       struct lorac_err *err)
{
    size_t most = s->b.model->config.max_positions;
    size_t least = s->masked ? s->begins + s->ends + 1 : 2;
    if (s->context > most && args_has(a, "--context")) {
        return lorac_fail(err, LORAC_EUSER, "--context %zu: the model reads at most %zu tokens",
                          s->context, most);
    }
    if (s->context > most) { s->context = most; }
    if (s->context < least) {
        return lorac_fail(err, LORAC_EUSER, "--context must be at least %zu", least);
    }
    if (args_has(a, "--logits") && s->ids.n > s->context) {
        return lorac_fail(err, LORAC_EUSER, "--logits needs all %zu tokens in one context of %zu",
                          s->ids.n, s->context);
    }
    return LORAC_OK;
}

static enum lorac_status run_model(struct scored *s, const struct args *a, struct lorac_err *err)
{
    const char *logits = args_text(a, "--logits", NULL);
    enum lorac_status st = s->masked
                               ? score_masked(s, err)
                               : score(&s->nll, &s->b, &s->ids, s->answers.at, s->context, err);
    if (!st && !isfinite(s->nll)) {
        st = lorac_fail(err, LORAC_EFORMAT,
                        "the likelihood is not finite: are the weights or the adapter damaged?");
    }
    if (!st && logits) { st = write_logits(logits, &s->b, &s->ids, err); }
    return st;
}

static int show_score(const struct scored *s)
{
    double mean = s->nll / (double)(s->n ? s->n : 1);
    if (s->masked) {
        printf("tokens              %zu   (masked in turn; %zu in all)\n", s->n, s->ids.n);
        printf("pseudo-nll          %.6f\nmean pseudo-nll     %.6f\npseudo-perplexity   %.6g\n",
               s->nll, mean, exp(mean));
        return 0;
    }
    printf(s->answers.at ? "tokens       %zu   (of the answers; %zu in all)\n"
                         : "tokens       %zu   (scored; the first of %zu has nothing before it)\n",
           s->n, s->ids.n);
    printf("nll          %.6f\nmean nll     %.6f\nperplexity   %.6g\n", s->nll, mean, exp(mean));
    return 0;
}

static int show_json(const struct scored *s)
{
    struct out j = {0};
    double mean = s->nll / (double)(s->n ? s->n : 1);
    out_count(&j, "tokens", s->n);
    out_count(&j, "all_tokens", s->ids.n);
    out_real(&j, s->masked ? "pseudo_nll" : "nll", s->nll);
    out_real(&j, s->masked ? "mean_pseudo_nll" : "mean_nll", mean);
    out_real(&j, s->masked ? "pseudo_perplexity" : "perplexity", exp(mean));
    return out_print(&j);
}

static int run(const struct args *a)
{
    struct lorac_err err = {0};
    struct scored s = {.context = CONTEXT};
    if (args_has(a, "--text") + args_has(a, "--ids") + args_has(a, "--chat") != 1) {
        fprintf(stderr, "lorac: score needs one of --text FILE, --chat FILE and --ids LIST\n");
        return EXIT_USAGE;
    }
    enum lorac_status st = args_count(&s.context, a, "--context", &err);
    if (!st) { st = bench_open_for(&s.b, a, LORAC_TASK_LM, !args_has(a, "--ids"), &err); }
    s.masked = !st && s.b.model->config.bidirectional;
    if (s.masked && !s.b.tokenizer) { // it has the mask
        st = lorac_tokenizer_open(&s.b.tokenizer, s.b.model->dir, &err);
    }
    if (!st && s.masked) { st = bench_mask(&s.mask, &s.b, &err); }
    if (!st) { st = read_input(&s, a, &err); }
    if (!st) { st = count(&s, &err); }
    if (!st) { st = check_context(&s, a, &err); }
    if (!st) { st = run_model(&s, a, &err); }
    int code = st ? complain(&err) : args_has(a, "--json") ? show_json(&s) : show_score(&s);
    lorac_ids_free(&s.ids);
    lorac_buf_free(&s.answers);
    bench_close(&s.b);
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
        "than the context is scored in windows that overlap by half.\n\n"
        "An encoder (bert, roberta, distilbert, modernbert) with its head of masked tokens gives "
        "the pseudo-likelihood: each token of the text, but for those that the tokenizer puts "
        "around it ([CLS], [SEP]), is masked in turn and guessed from all others, in a text longer "
        "than the context from those around it. It compares texts on one model; it is no "
        "likelihood, and not to be compared with one.\n",
    .options = options,
    .run = run,
};
