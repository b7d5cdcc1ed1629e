/* schedule.c - the course of the learning rate: the table of schedules. See lora.h. */
#include "lora/optim_impl.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* The share of (lr - final lr) that is left after `done` (0..1) of the steps after the warm-up. */
static double constant(double done)
{
    (void)done;
    return 1.0;
}

static double linear(double done)
{
    return 1.0 - done;
}

static double cosine(double done)
{
    return 0.5 * (1.0 + cos(3.14159265358979323846 * done));
}

static const struct schedule {
    const char *name; // as a recipe writes it
    double (*share)(double done);
} schedules[] = {
    {"constant", constant},
    {"linear", linear},
    {"cosine", cosine},
};
enum { N_SCHEDULES = sizeof schedules / sizeof schedules[0] };

/* NULL is the first. */
static const struct schedule *find(const char *name)
{
    for (size_t i = 0; i < N_SCHEDULES; i++) {
        if (!name || strcmp(schedules[i].name, name) == 0) { return &schedules[i]; }
    }
    return NULL;
}

const char *lorac_schedule_name(size_t i)
{
    return i < N_SCHEDULES ? schedules[i].name : NULL;
}

const char *lorac_schedule_find(const char *name)
{
    const struct schedule *s = find(name);
    return s ? s->name : NULL;
}

bool lorac_schedule_falls(const char *name)
{
    const struct schedule *s = find(name);
    return s && s->share(1.0) < 1.0;
}

double lorac_schedule_lr(const struct lorac_optim_options *o, size_t step)
{
    const struct schedule *s = find(o->schedule);
    assert(s);
    if (step < o->warmup) { return o->lr * (double)(step + 1) / (double)o->warmup; }
    size_t rest = o->steps > o->warmup ? o->steps - o->warmup : 1;
    double done = (double)(step - o->warmup) / (double)rest;
    double share = s->share(done < 1.0 ? done : 1.0);
    return o->lr * (o->final_lr_ratio + (1.0 - o->final_lr_ratio) * share);
}
