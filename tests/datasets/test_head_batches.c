/*
 * A head's rows in a batch. What is promised: each objective scores the rows that it says, with the
 * columns, numbers and weights that it says, in a batch of the announced size; what labels weigh
 * and smoothing make of losses is torch's mean; beginnings are shared where rows see backwards
 * alone.
 */
#include "tests/datasets/heads.h"

#include <math.h>

/* All rows of a table in one batch. */
static struct lorac_batch *batch_of(const char *text, const struct lorac_tokenizer *tokenizer,
                                    const struct lorac_dataset_options *o,
                                    struct lorac_loader_options loader)
{
    struct lorac_table *t = open_text(text);
    struct lorac_dataset *d = open_dataset(t, tokenizer, o);
    struct lorac_loader *l = NULL;
    struct lorac_batch *b = NULL;
    struct lorac_err err = {0};
    const uint32_t *examples = NULL;
    size_t n = 0;
    loader.batch_size = lorac_dataset_size(d);
    if (lorac_loader_open(&l, d, &loader, &err) ||
        lorac_batch_new(&b, lorac_loader_max_rows(l), lorac_loader_max_segments(l),
                        lorac_loader_max_targets(l), &err) ||
        lorac_loader_next(l, b, &examples, &n, &err)) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(lorac_loader_rows(l), lorac_dataset_all_rows(d));
    lorac_loader_close(l);
    lorac_dataset_close(d);
    lorac_table_close(t);
    return b;
}

static bool near(float a, double b)
{
    return fabs((double)a - b) < 1e-6;
}

static void classify_scores_a_row_a_text(void **state)
{
    (void)state;
    struct lorac_dataset_options o = usual("classify");
    const struct lorac_loader_options plain_loader = {0};
    struct lorac_batch *b = batch_of("text,label\nab,green\nxyz,red\n", framed, &o, plain_loader);
    assert_true(b->N == 8 && b->S == 2 && b->U == 2 && b->T == 2);
    assert_true(b->loss == LORAC_LOSS_SOFTMAX);
    assert_true(b->head_row[0] == 0 && b->head_row[1] == 3); // each [CLS]
    assert_true(b->target[0] == 1 && b->target[1] == 0);
    assert_true(near(b->weight[0], 1.0) && near(b->weight[1], 1.0));
    lorac_batch_free(b);
    frame.row = LORAC_ROW_LAST;
    b = batch_of("text,label\nab,green\nxyz,red\n", framed, &o, plain_loader);
    assert_true(b->head_row[0] == 2 && b->head_row[1] == 7);
    lorac_batch_free(b);
}

static void a_pairs_types_are_in_the_batch(void **state)
{
    (void)state;
    struct lorac_dataset_options o = usual("classify");
    o.completion = "{other}";
    for (size_t cache = 0; cache < 2; cache++) {
        o.cache = cache << 20;
        struct lorac_batch *b = batch_of("text,other,label\nx,yz,blue\nq,w,red\n", framed, &o,
                                         (struct lorac_loader_options){0});
        static const int32_t want[] = {0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1};
        assert_int_equal(b->N, 11);
        assert_memory_equal(b->type, want, sizeof want);
        lorac_batch_free(b);
    }
}

/* A text that begins as another one runs that once, where rows see backwards alone. */
static void decoders_share_what_texts_begin_with(void **state)
{
    (void)state;
    static const char text[] = "text,label\nlong 1,green\nlong 23,red\n";
    struct lorac_dataset_options o = usual("classify");
    const struct lorac_loader_options loader = {.share_prefix = LORAC_SHARE_ON};
    o.prompt = "In {text}";
    frame.row = LORAC_ROW_LAST;
    struct lorac_batch *b = batch_of(text, plain, &o, loader);
    const int32_t first[] = {BOS, 'I', 'n', ' ', 'l', 'o', 'n', 'g', ' ', '1'};
    const int32_t second[] = {BOS, 'I', 'n', ' ', 'l', 'o', 'n', 'g', ' ', '2', '3'};
    assert_true(b->S == 3 && b->N == 9 + 1 + 2);
    expect_scored(b, 0, 1, first, 10);
    expect_scored(b, 1, 0, second, 11);
    lorac_batch_free(b);
    frame.bidirectional = true;
    b = batch_of(text, plain, &o, loader);
    assert_true(b->S == 2 && b->N == 10 + 11);
    lorac_batch_free(b);
}

/* The mean loss of a batch whose rows have these logits (U,3). */
static double mean_of(const struct lorac_batch *b, const double (*z)[3])
{
    double sum = 0.0;
    double weight = -b->surplus;
    for (size_t u = 0; u < b->U; u++) {
        double log_sum = log(exp(z[u][0]) + exp(z[u][1]) + exp(z[u][2]));
        for (size_t t = b->first[u]; t < b->first[u + 1]; t++) {
            double zk = z[u][b->target[t]];
            bool binary = b->loss == LORAC_LOSS_BINARY;
            double nll = binary ? log1p(exp(zk)) - (double)b->value[t] * zk : log_sum - zk;
            sum += (double)b->weight[t] * nll;
            weight += (double)b->weight[t];
        }
    }
    return sum / weight;
}

/* The numbers are torch's, of
 *   z = tensor([[1, -0.5, 0.25], [0, 2, -1]]); w = tensor([0.5, 2, 3])
 *   CrossEntropyLoss(weight=w)(z, tensor([1, 2])), the same with label_smoothing=0.3, and
 *   BCEWithLogitsLoss(pos_weight=w)(z, tensor([[1., 0, 1], [0, 1, 0]])), all in float64. */
static void weighted_and_smoothed_it_is_torchs_mean(void **state)
{
    (void)state;
    static const double z[2][3] = {{1.0, -0.5, 0.25}, {0.0, 2.0, -1.0}};
    static const float weight[] = {0.5F, 2.0F, 3.0F};
    struct lorac_dataset_options o = usual("classify");
    struct lorac_loader_options loader = {.label_weight = weight};
    struct lorac_batch *b = batch_of("text,label\na,green\nb,blue\n", framed, &o, loader);
    assert_true(near((float)mean_of(b, z), 2.713097909275896));
    lorac_batch_free(b);
    loader.label_smoothing = 0.3;
    b = batch_of("text,label\na,green\nb,blue\n", framed, &o, loader);
    assert_true(near((float)mean_of(b, z), 2.2809289304684026));
    lorac_batch_free(b);
    o = usual("tag");
    b = batch_of("text,label\na b,green blue\n", framed, &o, loader);
    assert_true(near((float)mean_of(b, z), 2.2809289304684026));
    lorac_batch_free(b);
    o = usual("multilabel");
    loader.label_smoothing = 0.0;
    b = batch_of("text,label\na,red;blue\nb,green\n", framed, &o, loader);
    assert_true(near((float)mean_of(b, z), 0.6031318296233102));
    lorac_batch_clear(b);
    assert_true(b->surplus == 0.0);
    lorac_batch_free(b);
}

/* As transformers, which takes for padding what a text may end with. */
static void padding_at_a_texts_end_is_passed_over(void **state)
{
    (void)state;
    static const char text[] = "text,label\nlong,green\nlong,red\nlo,red\n";
    struct lorac_dataset_options o = usual("classify");
    o.prompt = "{text}!!";
    frame.row = LORAC_ROW_LAST;
    frame.pad = '!' + 1;
    struct lorac_batch *b = batch_of(text, plain, &o, (struct lorac_loader_options){0});
    assert_true(b->N == 7 + 7 + 5 && b->U == 3);
    assert_true(b->head_row[0] == 4 && b->head_row[1] == 11 && b->head_row[2] == 16);
    lorac_batch_free(b);
    const struct lorac_loader_options share = {.share_prefix = LORAC_SHARE_ON};
    b = batch_of("text,label\nlong,green\nlong,red\n", plain, &o, share);
    assert_true(b->S == 3 && b->N == 4 + 3 + 3); // "g" scores, so that it is each text's own
    assert_true(b->head_row[0] == 4 && b->head_row[1] == 7);
    assert_int_equal(b->ids[b->head_row[1]], 'g');
    lorac_batch_free(b);
    const int32_t pads[] = {7, 7, 7};
    assert_int_equal(lorac_text_row_of(LORAC_ROW_LAST, 8, pads, 3), 0);
    assert_int_equal(lorac_text_row_of(LORAC_ROW_LAST, 0, pads, 3), 2);
    assert_int_equal(lorac_text_row_of(LORAC_ROW_FIRST, 8, pads, 3), 0);
}

static void labels_weigh_and_smoothing_divides_that(void **state)
{
    (void)state;
    static const float weight[] = {0.5F, 2.0F, 3.0F};
    struct lorac_dataset_options o = usual("classify");
    struct lorac_loader_options loader = {.label_weight = weight};
    struct lorac_batch *b = batch_of("text,label\na,green\nb,blue\n", framed, &o, loader);
    assert_true(near(b->weight[0], 2.0) && near(b->weight[1], 3.0));
    lorac_batch_free(b);
    loader.label_smoothing = 0.3;
    b = batch_of("text,label\na,green\nb,blue\n", framed, &o, loader);
    assert_true(b->U == 2 && b->T == 6);
    const double want[] = {0.05, 0.2 + 1.4, 0.3, 0.05, 0.2, 0.3 + 2.1};
    for (size_t t = 0; t < 6; t++) {
        assert_int_equal(b->target[t], t % 3);
        assert_true(near(b->weight[t], want[t]));
    }
    lorac_batch_free(b);
}

static void multilabel_asks_for_each_label(void **state)
{
    (void)state;
    static const float weight[] = {0.5F, 2.0F, 3.0F};
    struct lorac_dataset_options o = usual("multilabel");
    struct lorac_batch *b = batch_of("text,label\na,blue;red\nb,green\n", framed, &o,
                                     (struct lorac_loader_options){.label_weight = weight});
    const double value[] = {1, 0, 1, 0, 1, 0};
    const double weighs[] = {0.5, 1, 3, 1, 2, 1};
    assert_true(b->loss == LORAC_LOSS_BINARY && b->U == 2 && b->T == 6);
    for (size_t t = 0; t < 6; t++) {
        assert_int_equal(b->target[t], t % 3);
        assert_true(near(b->value[t], value[t]) && near(b->weight[t], weighs[t]));
    }
    lorac_batch_free(b);
}

static void regress_counts_in_deviations(void **state)
{
    (void)state;
    struct lorac_dataset_options o = usual("regress");
    frame.mean = 10.0;
    frame.deviation = 4.0;
    struct lorac_batch *b =
        batch_of("text,label\na,12\nb,2\n", framed, &o, (struct lorac_loader_options){0});
    assert_true(b->loss == LORAC_LOSS_SQUARED && b->U == 2 && b->T == 2);
    assert_true(b->target[0] == 0 && b->target[1] == 0);
    assert_true(near(b->value[0], 0.5) && near(b->value[1], -2.0));
    lorac_batch_free(b);
}

static void tag_scores_each_words_first_token(void **state)
{
    (void)state;
    struct lorac_dataset_options o = usual("tag");
    struct lorac_batch *b = batch_of("text,label\nxy ab,red blue\nz,green\n", framed, &o,
                                     (struct lorac_loader_options){0});
    assert_true(b->N == 7 + 4 && b->U == 3 && b->T == 3);
    assert_true(b->head_row[0] == 1 && b->head_row[1] == 4 && b->head_row[2] == 8);
    assert_true(b->target[0] == 0 && b->target[1] == 2 && b->target[2] == 1);
    lorac_batch_free(b);
}

static void a_loader_is_of_its_datasets_objective(void **state)
{
    (void)state;
    struct lorac_dataset_options o = usual("classify");
    struct lorac_table *t = open_text("text,label\na,red\n");
    struct lorac_dataset *d = open_dataset(t, framed, &o);
    struct lorac_loader *l = NULL;
    struct lorac_err err = {0};
    const struct lorac_loader_options loader = {.batch_size = 1,
                                                .objective = objective("multilabel")};
    assert_int_equal(lorac_loader_open(&l, d, &loader, &err), LORAC_EUSER);
    assert_string_equal(err.text, "t.csv: was read for the objective classify, not for multilabel");
    lorac_dataset_close(d);
    lorac_table_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(classify_scores_a_row_a_text, begin),
        cmocka_unit_test_setup(a_pairs_types_are_in_the_batch, begin),
        cmocka_unit_test_setup(decoders_share_what_texts_begin_with, begin),
        cmocka_unit_test_setup(padding_at_a_texts_end_is_passed_over, begin),
        cmocka_unit_test_setup(labels_weigh_and_smoothing_divides_that, begin),
        cmocka_unit_test_setup(weighted_and_smoothed_it_is_torchs_mean, begin),
        cmocka_unit_test_setup(multilabel_asks_for_each_label, begin),
        cmocka_unit_test_setup(regress_counts_in_deviations, begin),
        cmocka_unit_test_setup(tag_scores_each_words_first_token, begin),
        cmocka_unit_test_setup(a_loader_is_of_its_datasets_objective, begin),
    };
    return cmocka_run_group_tests_name("head batches", tests, open_all, close_all);
}
