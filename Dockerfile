# One image for every role: docker build -t onewindow:0.1.0 .
FROM python:3.11.14-slim-bookworm AS libraries
COPY requirements-run.txt .
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements-run.txt

FROM python:3.11.14-slim-bookworm
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin onewindow
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
COPY --from=libraries /venv /venv
COPY contracts /app/contracts
COPY connectors /app/connectors
COPY producers /app/producers
COPY projections /app/projections
COPY streams /app/streams
COPY broker /app/broker
COPY examples /app/examples
COPY onewindow /app/onewindow
# a role writes its run file twice a second, and says in it whether it works
RUN printf '#!/bin/sh\ntest -n "$(find run/$1.json -newermt "10 seconds ago")" && grep -q "\\"state\\": \\"ready\\"" run/$1.json\n' \
    > /usr/local/bin/role-is-alive \
 && chmod 755 /usr/local/bin/role-is-alive
USER 10001:10001
WORKDIR /deployment
ENTRYPOINT ["python", "-m", "onewindow"]
CMD ["up"]
