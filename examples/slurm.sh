#!/bin/bash
# Trains on four nodes of a Slurm cluster: sbatch examples/slurm.sh mine.yaml
#SBATCH --job-name=bitext
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --requeue
set -euo pipefail
export CONFIG=$1
export PORT=$((20000 + SLURM_JOB_ID % 10000))
HOSTS=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | paste -sd ' ')
export HOSTS
# Exit code 6: a node or the network failed. The same job continues at the last checkpoint.
code=0
srun --kill-on-bad-exit=0 bash -euc '
  cluster=""
  for host in $HOSTS; do
    cluster="$cluster${cluster:+, }\"$host:$PORT\""
  done
  task="{\"type\": \"worker\", \"index\": $SLURM_PROCID}"
  export TF_CONFIG="{\"cluster\": {\"worker\": [$cluster]}, \"task\": $task}"
  set -- "$CONFIG" --set "trainer.distribute.workers=$SLURM_NTASKS"
  if [ "$SLURM_PROCID" = 0 ]; then
    exec bitext run "$@"
  fi
  exec bitext train-worker "$@"
' || code=$?
if [ "$code" = 6 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
