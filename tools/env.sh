# Source this from bash: the environment for working on stack lab (see tools/engine.py).
portcullis_env="$(python3 "$(dirname "${BASH_SOURCE[0]}")/engine.py" env)" || return 1
eval "$portcullis_env"
unset portcullis_env
