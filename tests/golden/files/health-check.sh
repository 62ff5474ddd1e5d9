if command -v wget >/dev/null
then exec wget -q -O /dev/null 'http://127.0.0.1:8080/healthz?deep=1'
fi
if command -v curl >/dev/null
then exec curl -fsS -m 3 -o /dev/null 'http://127.0.0.1:8080/healthz?deep=1'
fi
if command -v node >/dev/null
then exec node -e 'require("http").get("http://127.0.0.1:8080/healthz?deep=1",{timeout:3000},r=>process.exit(r.statusCode<400?0:1)).on("error",()=>process.exit(1))'
fi
if command -v python3 >/dev/null
then exec python3 -c 'import urllib.request as u;u.urlopen("http://127.0.0.1:8080/healthz?deep=1",timeout=3)'
fi
echo 'no wget, curl, node or python3 in this image: set healthCommand'
exit 1
