# Completion of saltapi in bash; tests/packages/test_completion.py compares it with the command.

_saltapi() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  local levels="quiet critical error warning info profile debug trace garbage all"
  local commands="serve demo check make-cert install-unit store version"
  local run="-c --config-dir -d --daemon -l --log-level --pid-file --log-file --log-file-level"
  local word command="" flags

  case $previous in
    -c | --config-dir | --dir | --config) mapfile -t COMPREPLY < <(compgen -d -- "$current") && return ;;
    --pid-file | --log-file | --token-file)
      mapfile -t COMPREPLY < <(compgen -f -- "$current") && return ;;
    -l | --log-level | --log-file-level)
      mapfile -t COMPREPLY < <(compgen -W "$levels" -- "$current") && return ;;
  esac

  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case " $commands " in *" $word "*) command=$word && break ;; esac
  done
  case $command in
    "") flags="$run --version $commands" ;;
    serve) flags=$run ;;
    demo) flags="--minions --port --timeout --keep --config --json" ;;
    check) flags="-c --config-dir -v --verbose --json --against-salt-api --token-file --tgt" ;;
    make-cert) flags="-c --config-dir --dir --name --days --host --force" ;;
    install-unit) flags="-c --config-dir --dir --remove" ;;
    store) flags="-c --config-dir --reset" ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "-h --help $flags" -- "$current")
}

complete -F _saltapi saltapi
