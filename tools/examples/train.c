/* train.c - trains an adapter on a table of texts and their intents: train MODEL CSV OUT */
#include <lorac/base.h>
#include <lorac/recipes.h>
#include <stdio.h>

static const char text[] = // lorac recipe explain tells all that may stand here
    "{recipe: 1, data: {columns: {text: text, intent: intent}}, train: {epochs: 2},"
    " template: {prompt: \"{text}\\nThis message is about\", completion: \" {intent}\"}}";

static enum lorac_status train(char **args, struct lorac_err *err)
{
    char model[4096], table[4096];
    (void)snprintf(model, sizeof model, "model.path=%s", args[0]);
    (void)snprintf(table, sizeof table, "data.train=%s", args[1]);
    const struct lorac_recipe_set sets[] = {{model, false}, {table, false}};
    struct lorac_recipe *r = NULL;
    struct lorac_trainer *t = NULL;
    struct lorac_step s;
    enum lorac_status st =
        lorac_recipe_parse(&r, text, sizeof text - 1, "train.c", ".", sets, 2, NULL, err);
    if (!st) { st = lorac_trainer_open_recipe(&t, r, err); }
    while (!st && !lorac_trainer_done(t)) {
        st = lorac_trainer_step(&s, t, err);
        if (!st) { printf("step %zu of %zu: loss %.4f\n", s.step, s.steps, s.loss); }
    }
    if (!st) { st = lorac_trainer_save(t, args[2], NULL, err); }
    lorac_trainer_close(t);
    lorac_recipe_free(r);
    return st;
}

int main(int argc, char **argv)
{
    lorac_start(argv); // threads that wait without spinning: before anything else
    struct lorac_err err = {.text = "expected MODEL CSV OUT"};
    if (argc == 4 && !train(argv + 1, &err)) { return 0; }
    fprintf(stderr, "train: %s\n", err.text);
    return 1;
}
