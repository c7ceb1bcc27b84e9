FROM node:22-slim
COPY api/package.json api/package-lock.json /srv/
WORKDIR /srv/api
RUN npm ci
COPY . /srv
