# What the tests of several processes share beside support.sh, whose third argument is MPIRUN:
# . "$(dirname "$0")/support_ranks.sh" leaves the shell in $dir.
mpirun=$3
# as root, on a machine of any size, in a container that lets no process read another's memory
OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
OMPI_MCA_btl_vader_single_copy_mechanism=none OMPI_MCA_mpi_yield_when_idle=1
OMPI_MCA_plm=isolated OMPI_MCA_btl=self,vader
export OMPI_ALLOW_RUN_AS_ROOT OMPI_ALLOW_RUN_AS_ROOT_CONFIRM OMPI_MCA_rmaps_base_oversubscribe \
    OMPI_MCA_hwloc_base_binding_policy OMPI_MCA_btl_vader_single_copy_mechanism OMPI_MCA_mpi_yield_when_idle \
    OMPI_MCA_plm OMPI_MCA_btl
lorac=$(readlink -f "$lorac")
alone=$lorac
cd "$dir" || exit 1

# ranks N: from now on `expect` and its like run so many
ranks() {
    printf '#!/bin/sh\nexec "%s" -n %s "%s" "$@"\n' "$mpirun" "$1" "$alone" >"$dir/several"
    chmod +x "$dir/several"
    lorac=$dir/several
}

# losses RUN: step, split and loss of each line
losses() {
    cut -d, -f1,3,4 "$dir/runs/$1/metrics.csv"
}

# near RUN RUN: the same steps, losses within 1e-6
near() {
    losses "$1" >"$dir/a"
    losses "$2" >"$dir/b"
    paste -d, "$dir/a" "$dir/b" | awk -F, '
        NR > 1 && ($1 != $4 || $2 != $5 || $3 - $6 > 1e-6 || $6 - $3 > 1e-6 || $3 == "") { print; bad = 1 }
        END { exit bad || NR < 10 }' || fail "$1 and $2 have other losses"
}
